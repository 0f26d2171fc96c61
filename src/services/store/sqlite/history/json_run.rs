//! Rows of older versions: the columns of that time as a JSON object.

use jiff::Timestamp;
use serde::Deserialize;

use crate::services::store::encoded_run::EncodedRun;
use crate::services::store::run_record::{PayloadFidelity, RunRecord};
use crate::value::Value;

/// Columns of an older row; the migration wrote their names.
#[derive(Deserialize)]
struct JsonRun {
    version: i64,
    event: String,
    facts: String,
    kept: String,
    attempt: u32,
    queued: i64,
    started: Option<i64>,
    outcome: String,
    why: Option<String>,
    effects: String,
}

/// Returns the record of an older row; `None` for a row in another form.
pub(super) fn decode(run: &EncodedRun) -> Option<RunRecord> {
    if run.data.first() != Some(&b'{') {
        return None;
    }
    let json: JsonRun = serde_json::from_slice(&run.data).ok()?;
    Some(RunRecord {
        id: run.id.clone(),
        script: run.script.to_string(),
        version: json.version.cast_unsigned(),
        trigger: run.trigger.to_string(),
        event: json.event,
        payload: serde_json::from_str(&json.facts).map(Value::from_stored).unwrap_or_default(),
        fidelity: PayloadFidelity::of(&json.kept),
        attempt: json.attempt,
        queued: Timestamp::from_microsecond(json.queued).ok()?,
        started: json.started.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        ended: run.ended,
        outcome: json.outcome,
        why: json.why,
        // Effects that an older version wrote in another form are left out.
        effects: serde_json::from_str(&json.effects).unwrap_or_default(),
    })
}
