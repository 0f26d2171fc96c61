//! The log of one run.

use crate::config::Level;
use crate::effect::RawEffect;
use crate::functions::http::recorded_response::RecordedResponse;

/// Receives the log lines and effects of a run.
pub trait RunLog: Send + Sync {
    /// Logs a line with fields as JSON. Rhai's `print` logs at [`Level::Info`].
    fn log_line(&self, level: Level, text: &str, fields: &serde_json::Map<String, serde_json::Value>);

    /// Records an effect for the run history.
    fn record_effect(&self, effect: RawEffect);

    /// Records an HTTP response. `response` is called only if responses are being recorded.
    fn record_response(&self, _response: &dyn Fn() -> RecordedResponse) {}
}
