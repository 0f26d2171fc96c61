//! Timeline of a sandbox: messages, requests, runs and log lines in order of time.

use jiff::Zoned;

/// A message, an HTTP request, a run or a log line.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TimelineEntry {
    /// Its virtual time.
    pub time: Zoned,
    /// `run`, `message`, `request` or `log`.
    pub what: &'static str,
    /// The script, or an empty string if it is unknown.
    pub script: String,
    /// A summary.
    pub text: String,
    /// Whether it is a failed run or an error in the log.
    pub is_bad: bool,
}
