//! What the runtime tells those who ask, in shapes that other programs can read.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::expected::Times;
use super::registry::{Entry, name_of};
use crate::fault::Fault;
use crate::run::Outcome;
use crate::script::Declaration;

/// How a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is live, as it lies in the folder.
    Live,
    /// An older version is live: what lies in the folder was rejected.
    Kept,
    /// It is live, and the breaker holds its events back.
    Paused,
    /// What lies in the folder was rejected, and there is no older version.
    Rejected,
    /// It was disabled by hand.
    Disabled,
    /// It ran each of the last times that the process crashed, and was set aside.
    Quarantined,
}

/// A script that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its file below the scripts folder.
    pub file: String,
    /// How it is.
    pub status: Status,
    /// Which version is live; 0: none.
    pub version: u64,
    /// Whether it is a job that `triggers:` binds.
    pub is_job: bool,
    /// Its first `//!` lines.
    pub docs: String,
    /// Its triggers.
    pub triggers: Vec<ListedTrigger>,
    /// The reports of the faults of what lies in the folder.
    pub faults: Vec<String>,
    /// How many events wait.
    pub waiting: usize,
    /// How many runs go on.
    pub running: usize,
    /// Until when the breaker holds it.
    pub paused_until: Option<Timestamp>,
}

/// A trigger of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTrigger {
    /// Its name within the script.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What it watches, in a few words.
    pub summary: String,
    /// Where it was declared.
    pub place: String,
    /// Whether it listens.
    pub enabled: bool,
    /// When it fires next, if it knows.
    pub next: Option<Timestamp>,
    /// How it keeps its times, if it has any and ran.
    #[serde(default)]
    pub times: Option<Times>,
}

impl Listed {
    pub(crate) fn new(name: &str, entry: &Entry) -> Self {
        let life = entry.life.as_ref();
        Self {
            name: name.to_owned(),
            file: entry.file.clone(),
            status: match (entry.is_disabled, life.is_some(), entry.rejected.is_some()) {
                (true, ..) => Status::Disabled,
                _ if entry.is_quarantined => Status::Quarantined,
                (_, true, false) => Status::Live,
                (_, true, true) => Status::Kept,
                (_, false, _) => Status::Rejected,
            },
            version: life.map_or(0, |life| life.version.number),
            is_job: entry.is_job,
            docs: life.map(|life| life.version.script.docs.clone()).unwrap_or_default(),
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
            name: name_of(declared),
            kind: declared.kind.to_owned(),
            summary: declared.trigger.summary(),
            place: declared.location.to_string(),
            enabled,
            next: next.filter(|_| enabled),
            times: None,
        }
    }
}

/// What became of an event that was fired by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// What the handler returned.
    pub value: serde_json::Value,
    /// Why, if not `succeeded`: the fault's report or the reason of the skip.
    pub why: Option<String>,
}

/// What became of an event of the ledger that was replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The id of the new run.
    pub run: String,
    /// How it ended.
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
