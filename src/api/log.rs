//! Log lines as other processes see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Level;

/// A log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// Its level.
    pub level: LogLevel,
    /// The script that it is about; empty: none.
    pub script: String,
    /// The run that it is about; empty: none.
    pub run: String,
    /// The text.
    pub text: String,
    /// Additional fields.
    #[serde(default)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// A problem that was handled.
    Warn,
    /// A change of state.
    Info,
    /// For development.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}
