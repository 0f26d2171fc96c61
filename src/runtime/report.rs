//! Status of scripts and triggers, as plain data for other processes.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::punctuality::Punctuality;
use super::registry::{ScriptEntry, trigger_name};
use crate::fault::Fault;
use crate::run::Outcome;
use crate::script::Declaration;

/// Status of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Active, in the version of the scripts folder.
    Live,
    /// An older version is active; the version in the scripts folder was rejected.
    Kept,
    /// Active, but paused by the circuit breaker.
    Paused,
    /// The version in the scripts folder was rejected, and there is no older version.
    Rejected,
    /// Disabled manually.
    Disabled,
    /// Quarantined, because it ran each of the last times that the process crashed.
    Quarantined,
}

/// A known script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Name.
    pub name: String,
    /// File, relative to the scripts folder.
    pub file: String,
    /// Status.
    pub status: Status,
    /// Number of the active version; 0: none.
    pub version: u64,
    /// Whether it is a job that `triggers:` binds.
    pub is_job: bool,
    /// Its leading `//!` lines.
    pub docs: String,
    /// Its triggers.
    pub triggers: Vec<ListedTrigger>,
    /// Reports of the faults of the version in the scripts folder.
    pub faults: Vec<String>,
    /// Number of queued events.
    pub waiting: usize,
    /// Number of running events.
    pub running: usize,
    /// End of the pause by the circuit breaker.
    pub paused_until: Option<Timestamp>,
}

/// A trigger of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTrigger {
    /// Name within the script.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Short description.
    pub summary: String,
    /// Location of its declaration.
    pub place: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Next time at which it fires, if that can be computed.
    pub next: Option<Timestamp>,
    /// Punctuality, if it follows a schedule and has run.
    #[serde(default)]
    pub times: Option<Punctuality>,
}

impl Listed {
    pub(crate) fn new(name: &str, entry: &ScriptEntry) -> Self {
        let active = entry.active.as_ref();
        Self {
            name: name.to_owned(),
            file: entry.file.clone(),
            status: match (entry.is_disabled, active.is_some(), entry.rejected.is_some()) {
                (true, ..) => Status::Disabled,
                _ if entry.is_quarantined => Status::Quarantined,
                (_, true, false) => Status::Live,
                (_, true, true) => Status::Kept,
                (_, false, _) => Status::Rejected,
            },
            version: active.map_or(0, |active| active.version.number),
            is_job: entry.is_job,
            docs: active.map(|active| active.version.script.docs.clone()).unwrap_or_default(),
            triggers: Vec::new(),
            faults: entry.rejected.iter().flatten().map(Fault::report).collect(),
            waiting: 0,
            running: 0,
            paused_until: None,
        }
    }
}

impl ListedTrigger {
    pub(crate) fn new(declared: &Declaration, now: &Zoned) -> Self {
        let enabled = !declared.policy.disabled;
        let next = declared.trigger.upcoming(now, 1).first().map(Zoned::timestamp);
        Self {
            name: trigger_name(declared),
            kind: declared.kind.to_owned(),
            summary: declared.trigger.summary(),
            place: declared.location.to_string(),
            enabled,
            next: next.filter(|_| enabled),
            times: None,
        }
    }
}

/// Summary of an event that was fired manually.
pub(crate) const FIRED_MANUALLY: &str = "fired manually";
/// End of the summary of a replayed event.
pub(crate) const REPLAYED: &str = " (replayed)";

/// Returns whether an event with this summary was fired or replayed by a user, who looks its run up by the identifier.
pub(crate) fn is_manual(summary: &str) -> bool {
    summary.starts_with(FIRED_MANUALLY) || summary.ends_with(REPLAYED)
}

/// Outcome of an event that was fired manually.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// Return value of the handler.
    pub value: serde_json::Value,
    /// Reason, if not `succeeded`: the report of the fault, or the reason of the skip.
    pub why: Option<String>,
}

/// Outcome of a replayed event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// Identifier of the new run.
    pub run: String,
    /// Its outcome.
    #[serde(flatten)]
    pub fired: Fired,
}

impl From<Outcome> for Fired {
    fn from(outcome: Outcome) -> Self {
        let word = outcome.word().to_owned();
        let (value, why) = match outcome {
            Outcome::Succeeded(value) => (value.to_json(), None),
            Outcome::Failed(fault) | Outcome::TimedOut(fault) => (serde_json::Value::Null, Some(fault.report())),
            Outcome::Skipped(skip) => (serde_json::Value::Null, Some(skip.reason().to_owned())),
            Outcome::Cancelled => (serde_json::Value::Null, None),
        };
        Self { outcome: word, value, why }
    }
}
