//! Run records as other processes see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::services::store::{PayloadFidelity, RunRecord};

/// A run record without its payload, as `rhaid runs` lists it.
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
    /// The event, in one line.
    pub event: String,
    /// The number of earlier attempts.
    #[serde(default)]
    pub attempt: u32,
    /// When the event was enqueued.
    pub queued: Timestamp,
    /// When the run started; `None`: it was skipped.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// The duration of the run in milliseconds; `None`: it was skipped.
    pub took_ms: Option<u64>,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// The reason, if it did not succeed.
    pub why: Option<String>,
    /// The side effects and log lines of the run, in order.
    pub effects: Vec<Effect>,
}

/// A complete run record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The part that `rhaid runs` lists.
    #[serde(flatten)]
    pub run: RunRow,
    /// The event's payload; times and blobs in the form that [`crate::value::Value::from_stored`] reads.
    pub payload: serde_json::Value,
    /// Whether the payload is complete.
    pub kept: PayloadFidelity,
}

impl From<RunRecord> for RunInfo {
    fn from(mut record: RunRecord) -> Self {
        let (payload, kept) = (std::mem::take(&mut record.payload).to_stored(), record.fidelity);
        Self { run: record.into(), payload, kept }
    }
}

impl From<RunRecord> for RunRow {
    fn from(record: RunRecord) -> Self {
        let took = |started: Timestamp| (record.ended.as_millisecond() - started.as_millisecond()).unsigned_abs();
        Self {
            took_ms: record.started.map(took),
            attempt: record.attempt,
            started: record.started,
            ended: record.ended,
            id: record.id,
            script: record.script,
            version: record.version,
            trigger: record.trigger,
            event: record.event,
            queued: record.queued,
            outcome: record.outcome,
            why: record.why,
            effects: record.effects,
        }
    }
}
