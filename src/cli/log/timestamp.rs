//! The timestamp at the start of a log line.

use std::io::IsTerminal as _;

/// The timestamp at the start of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum TimestampFormat {
    /// The time of day, for a terminal.
    TimeOfDay,
    /// Date, time and offset, for files.
    Full,
    /// No timestamp: the systemd journal adds its own.
    None,
}

impl TimestampFormat {
    /// Returns the format for standard error of this process.
    pub(super) fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::TimeOfDay
        } else if std::env::var_os("JOURNAL_STREAM").is_some() {
            // Source: systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager".
            Self::None
        } else {
            Self::Full
        }
    }
}
