//! Run records: one for each event and handler, with filters, classes and the retention policy.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::value::Value;

/// Record of the run history: an event and its result for one handler.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run's id.
    pub id: String,
    /// The script's name.
    pub script: String,
    /// The script's version.
    pub version: u64,
    /// The trigger's name.
    pub trigger: String,
    /// The event in one line.
    pub event: String,
    /// The event's payload.
    pub payload: Value,
    /// How much of the payload is stored.
    pub fidelity: PayloadFidelity,
    /// Number of earlier attempts.
    pub attempt: u32,
    /// When the event happened.
    pub queued: Timestamp,
    /// When the run started, if it did.
    pub started: Option<Timestamp>,
    /// When the run ended, or the event was skipped.
    pub ended: Timestamp,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// Fault report, or the reason of the skip.
    pub why: Option<String>,
    /// Effects and log lines of the run, in order.
    pub effects: Vec<Effect>,
}

/// How much of an event's payload a run record holds; the numbers are stored in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadFidelity {
    /// All of it: the event can be replayed.
    #[default]
    Whole = 0,
    /// All but its secrets.
    Masked = 1,
    /// Long values are truncated.
    Cut = 2,
}

impl PayloadFidelity {
    /// Returns the value with a number that is stored in the database; the highest known for others.
    pub(super) fn of_number(number: u8) -> Self {
        match number {
            0 => Self::Whole,
            1 => Self::Masked,
            _ => Self::Cut,
        }
    }

    /// Returns the value with a name that older versions stored in the database.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "whole" => Self::Whole,
            "masked" => Self::Masked,
            _ => Self::Cut,
        }
    }
}

/// Filter by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeFilter {
    /// Runs that failed or timed out.
    Failed,
    /// Events that were skipped.
    Skipped,
}

/// Filter and limit for a list of run records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQuery {
    /// Only records of this script.
    pub script: Option<String>,
    /// Only records of triggers with this name.
    pub trigger: Option<String>,
    /// Only these outcomes.
    pub only: Option<OutcomeFilter>,
    /// Only runs that ended then or later.
    pub since: Option<Timestamp>,
    /// The largest number of records, newest first; 0 means 50.
    pub limit: usize,
}

/// Limits of the run history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The largest number of records.
    pub rows: u64,
    /// The largest approximate size in bytes.
    pub bytes: u64,
    /// The highest age.
    pub age: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 256 << 20, age: Duration::from_secs(30 * 86_400) }
    }
}

/// Outcomes that a query or a quota of the run history distinguishes; the numbers are stored in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OutcomeClass {
    Succeeded = 0,
    Skipped = 1,
    Failed = 2,
    Cancelled = 3,
}

impl OutcomeClass {
    pub(super) const ALL: &[Self] = &[Self::Succeeded, Self::Skipped, Self::Failed, Self::Cancelled];

    pub(super) fn of(outcome: &str) -> Self {
        match outcome {
            "succeeded" => Self::Succeeded,
            "skipped" => Self::Skipped,
            "failed" | "timed out" => Self::Failed,
            _ => Self::Cancelled,
        }
    }

    /// Returns the priority of a class by its number: 0 to 2, of which the highest is kept longest.
    pub(super) fn priority(class: u8) -> usize {
        match class {
            0 => 0,
            2 => 2,
            _ => 1,
        }
    }
}
