//! A row, and which rows are wanted.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::value::Value;

/// A row of the ledger: an event and what became of it for one handler.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run's id.
    pub id: String,
    /// The script's name.
    pub script: String,
    /// Its version.
    pub version: u64,
    /// The trigger's name.
    pub trigger: String,
    /// What woke it, in a line.
    pub event: String,
    /// What woke it, as far as it is kept.
    pub payload: Value,
    /// How far that is.
    pub fidelity: PayloadFidelity,
    /// How often the event was tried before.
    pub attempt: u32,
    /// When it happened.
    pub queued: Timestamp,
    /// When the run started, if it did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// Why, if not `succeeded`: the fault's report or the reason of the skip.
    pub why: Option<String>,
    /// What the run did and logged, in order.
    pub effects: Vec<Effect>,
}

/// How much of what woke a run is kept; the names stand in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadFidelity {
    /// All of it: it can be replayed.
    #[default]
    Whole,
    /// All but the secrets in it.
    Masked,
    /// The beginning of long values.
    Cut,
}

impl PayloadFidelity {
    /// Returns the word that stands in the database.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Masked => "masked",
            Self::Cut => "cut",
        }
    }

    /// Reads what [`PayloadFidelity::word`] wrote.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "whole" => Self::Whole,
            "masked" => Self::Masked,
            _ => Self::Cut,
        }
    }
}

/// Which outcomes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeFilter {
    /// Those that failed or timed out.
    Failed,
    /// Those that became no run.
    Skipped,
}

/// Which rows of the ledger to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQuery {
    /// Only this script's.
    pub script: Option<String>,
    /// Only those of triggers of this name.
    pub trigger: Option<String>,
    /// Only these outcomes.
    pub only: Option<OutcomeFilter>,
    /// Only what ended then or later.
    pub since: Option<Timestamp>,
    /// At most so many, newest first; 0: 50.
    pub limit: usize,
}

/// How much of the ledger is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How many rows.
    pub rows: u64,
    /// About how many bytes.
    pub bytes: u64,
    /// How long.
    pub age: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 256 << 20, age: Duration::from_secs(30 * 86_400) }
    }
}

/// The outcomes that share a quota; the numbers stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Succeeded = 0,
    Skipped = 1,
    Failed = 2,
}

impl Class {
    pub(super) fn of(row: &RunRecord) -> Self {
        match row.outcome.as_str() {
            "succeeded" => Self::Succeeded,
            "failed" | "timed out" => Self::Failed,
            _ => Self::Skipped,
        }
    }
}

/// Returns whether a row is wanted.
pub(super) fn wants(query: &RunQuery, row: &RunRecord) -> bool {
    let is_of = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    is_of(&query.script, &row.script)
        && is_of(&query.trigger, &row.trigger)
        && query.since.is_none_or(|since| row.ended >= since)
        && match query.only {
            None => true,
            Some(OutcomeFilter::Failed) => Class::of(row) == Class::Failed,
            Some(OutcomeFilter::Skipped) => row.outcome == "skipped",
        }
}
