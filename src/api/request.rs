//! What is said over the socket: JSON, one message a line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Level;
use crate::effect::Effect;
use crate::services::store::{NamespaceSize, PayloadFidelity, RunQuery, RunRecord};

/// What a command asks of a running rhaid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The scripts and their triggers. Answer: a list of [`crate::runtime::Listed`].
    List,
    /// To wake a handler. Answer: [`crate::runtime::Fired`], when it has ended.
    Fire {
        /// The script's name.
        script: String,
        /// The trigger's name; `None`: the script's only one.
        trigger: Option<String>,
        /// The fields of the handler's argument.
        data: serde_json::Value,
    },
    /// To wake a script or not, also after a restart. Answer: `null`.
    Switch {
        /// The script's name.
        script: String,
        /// Whether it is woken.
        enabled: bool,
    },
    /// Rows of the ledger, newest first. Answer: a list of [`RunRow`].
    Runs {
        /// Which.
        query: RunQuery,
    },
    /// One row of the ledger. Answer: a [`RunInfo`], or `null`.
    Run {
        /// Its id, or the end of it.
        id: String,
    },
    /// To wake a handler with an event of the ledger again. Answer: [`crate::runtime::Replayed`], when it has ended.
    Replay {
        /// The run's id, or the end of it.
        id: String,
    },
    /// The spaces of state. Answer: a list of [`StateSpace`].
    StateSpaces,
    /// The values of a space. Answer: an object of them, as [`crate::value::Value::to_stored`] writes them.
    StateValues {
        /// `script:NAME` or `shared:NAMESPACE`.
        space: String,
    },
    /// To edit state. Answer: `null`.
    StateEdit {
        /// Spaces that lose what is not set here.
        cleared: Vec<String>,
        /// Namespace, key and value, as [`crate::value::Value::to_stored`] writes it; `null` takes it away.
        values: Vec<(String, String, serde_json::Value)>,
    },
    /// To write all that waits to disk. Answer: `null`, when it is there.
    Flush,
    /// The last log lines. Answers: a [`LogLine`] each, then `null` unless `follow`.
    Logs {
        /// Only this script's.
        script: Option<String>,
        /// Whether to go on with lines as they come.
        follow: bool,
    },
    /// The answers of servers to scripts, as they come. Answers: a [`crate::control::Overheard`] each.
    Overhear,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The answer.
    Answer(serde_json::Value),
    /// Why there is none.
    Refusal(String),
}

/// A row of the ledger as `runs` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The run's id.
    pub id: String,
    /// The script's name.
    pub script: String,
    /// The script's version.
    pub version: u64,
    /// The trigger's name.
    pub trigger: String,
    /// What woke it, in a line.
    pub event: String,
    /// How often the event was tried before.
    #[serde(default)]
    pub attempt: u32,
    /// When it happened.
    pub queued: Timestamp,
    /// When the run started, if there was one.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// How long the run took, in milliseconds, if there was one.
    pub took_ms: Option<u64>,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// Why, if it did not succeed.
    pub why: Option<String>,
    /// What the run did and logged, in order.
    pub effects: Vec<Effect>,
}

/// A space of state that holds something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSpace {
    /// `script:NAME` or `shared:NAMESPACE`.
    pub space: String,
    /// How many values it holds.
    pub values: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

impl From<NamespaceSize> for StateSpace {
    fn from(space: NamespaceSize) -> Self {
        Self { space: space.name, values: space.values, bytes: space.bytes }
    }
}

/// A row of the ledger with all there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// What `runs` shows.
    #[serde(flatten)]
    pub run: RunRow,
    /// What the handler saw of the event; times and blobs in the form in which [`crate::value::Value::from_stored`] reads them.
    pub payload: serde_json::Value,
    /// How much of it is kept.
    pub kept: PayloadFidelity,
}

impl From<RunRecord> for RunInfo {
    fn from(mut row: RunRecord) -> Self {
        let (payload, kept) = (std::mem::take(&mut row.payload).to_stored(), row.fidelity);
        Self { run: row.into(), payload, kept }
    }
}

impl From<RunRecord> for RunRow {
    fn from(row: RunRecord) -> Self {
        let took = |started: Timestamp| (row.ended.as_millisecond() - started.as_millisecond()).unsigned_abs();
        Self {
            took_ms: row.started.map(took),
            attempt: row.attempt,
            started: row.started,
            ended: row.ended,
            id: row.id,
            script: row.script,
            version: row.version,
            trigger: row.trigger,
            event: row.event,
            queued: row.queued,
            outcome: row.outcome,
            why: row.why,
            effects: row.effects,
        }
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How loud.
    pub level: LogLevel,
    /// The script that it is about; empty: none.
    pub script: String,
    /// The run that it is about; empty: none.
    pub run: String,
    /// The text.
    pub text: String,
    /// What comes with it.
    #[serde(default)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// How loud a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// We coped.
    Warn,
    /// State changed.
    Info,
    /// For us.
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
