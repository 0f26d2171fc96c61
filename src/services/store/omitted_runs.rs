//! Counts of runs that the run history leaves out, and their place among the records.

use std::sync::Arc;

use jiff::Timestamp;

use crate::services::store::run_record::{RunQuery, RunRecord};

/// Number of successful runs of one trigger that were counted instead of recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmittedRuns {
    /// The script's name.
    pub script: Arc<str>,
    /// The trigger's name.
    pub trigger: Arc<str>,
    /// Start of the period in which they ended, in whole seconds.
    pub from: Timestamp,
    /// End of the period, exclusive, in whole seconds.
    pub until: Timestamp,
    /// The number of runs.
    pub count: u64,
}

impl OmittedRuns {
    /// Returns whether the count passes the filters; filters by outcome exclude all counts.
    pub(super) fn matches(&self, query: &RunQuery) -> bool {
        query.only.is_none()
            && query.script.as_deref().is_none_or(|script| script == &*self.script)
            && query.trigger.as_deref().is_none_or(|trigger| trigger == &*self.trigger)
            && query.since.is_none_or(|since| self.until > since)
    }

    /// Returns whether both count runs of the same trigger.
    fn is_alike(&self, other: &Self) -> bool {
        self.script == other.script && self.trigger == other.trigger
    }

    /// Adds the count of another period of the same trigger.
    fn add(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.until = self.until.max(other.until);
        self.count += other.count;
    }
}

/// Entry of a list of runs.
#[derive(Debug, Clone)]
pub enum RunListEntry {
    /// A record.
    Run(Box<RunRecord>),
    /// Runs that were counted instead of recorded.
    Omitted(OmittedRuns),
}

/// Returns records and counts in one list, newest first. Counts of one trigger without a record between them are added up.
///
/// Both lists must be newest first. A count stands before the first record that ended before the end of its period: the runs that are
/// recorded are the first ones of a second.
pub(super) fn interleave(records: Vec<RunRecord>, omitted: Vec<OmittedRuns>) -> Vec<RunListEntry> {
    let mut entries = Vec::with_capacity(records.len());
    let mut omitted = omitted.into_iter().peekable();
    for record in records {
        let mut gap = Vec::new();
        while let Some(omitted) = omitted.next_if(|omitted| omitted.until > record.ended) {
            merge(&mut gap, omitted);
        }
        entries.extend(gap.into_iter().map(RunListEntry::Omitted));
        entries.push(RunListEntry::Run(Box::new(record)));
    }
    let mut rest = Vec::new();
    omitted.for_each(|omitted| merge(&mut rest, omitted));
    entries.extend(rest.into_iter().map(RunListEntry::Omitted));
    entries
}

/// Adds a count to the one of the same trigger, if there is one.
pub(super) fn merge(all: &mut Vec<OmittedRuns>, omitted: OmittedRuns) {
    match all.iter_mut().find(|earlier| earlier.is_alike(&omitted)) {
        Some(earlier) => earlier.add(&omitted),
        None => all.push(omitted),
    }
}
