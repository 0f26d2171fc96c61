//! Lists of runs as other processes see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::run::RunRow;
use crate::services::store::{OmittedRuns, RunListEntry};

/// An entry of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunEntry {
    /// A run.
    Run(Box<RunRow>),
    /// Runs that were counted instead of recorded.
    Omitted(OmittedRow),
}

/// A number of quick successful runs of one trigger that were counted instead of recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedRow {
    /// The number of runs.
    pub omitted: u64,
    /// The script's name.
    pub script: String,
    /// The trigger's name.
    pub trigger: String,
    /// The start of the period in which they ended, in whole seconds.
    pub from: Timestamp,
    /// The end of the period, exclusive, in whole seconds.
    pub until: Timestamp,
}

impl From<RunListEntry> for RunEntry {
    fn from(entry: RunListEntry) -> Self {
        match entry {
            RunListEntry::Run(record) => Self::Run(Box::new((*record).into())),
            RunListEntry::Omitted(OmittedRuns { script, trigger, from, until, count }) => {
                let (script, trigger) = (script.to_string(), trigger.to_string());
                Self::Omitted(OmittedRow { omitted: count, script, trigger, from, until })
            }
        }
    }
}
