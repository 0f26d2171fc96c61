//! Run history of the store: records and counts of runs.

use std::sync::Arc;

use jiff::Timestamp;

use crate::services::store::encoded_run::EncodedRun;
use crate::services::store::error::Error;
use crate::services::store::handle::Store;
use crate::services::store::omitted_runs::{RunListEntry, interleave};
use crate::services::store::run_record::{RetentionPolicy, RunQuery, RunRecord};

/// Length of a list of run records without a limit.
const DEFAULT_LIMIT: usize = 50;

impl Store {
    /// Sets the retention policy of the run history.
    pub fn set_retention(&self, retention: RetentionPolicy) {
        self.shared().runs.set_retention(retention);
    }

    /// Appends a record to the run history without blocking. Drops low-priority records when the disk cannot keep up.
    pub fn record(&self, run: impl Into<EncodedRun>) {
        match self.shared().runs.push(run.into()) {
            true => self.writer().write_soon(),
            false => self.writer().wake(),
        }
    }

    /// Counts a quick successful run without blocking, unless it belongs to the sample that is recorded; returns whether it was counted.
    ///
    /// The sample has up to 50 runs of each trigger and second, and the first one of each trigger after 1,000 runs of all triggers.
    pub fn omit(&self, script: &Arc<str>, trigger: &Arc<str>, ended: Timestamp) -> bool {
        let is_omitted = self.shared().sample.omit(script, trigger, ended);
        if is_omitted {
            self.writer().wake();
        }
        is_omitted
    }

    /// Lists run records, newest first, including those that are not on disk yet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn runs(&self, query: &RunQuery) -> Result<Vec<RunRecord>, Error> {
        self.flush();
        let limit = limit(query);
        // After the flush records stay in memory only if writing failed; they are newer than all on disk.
        let mut records = self.shared().runs.newest(query, limit);
        let rest = limit - records.len();
        records.extend(self.storage().list(query, None, rest)?.records);
        Ok(records)
    }

    /// Lists run records as [`Store::runs`], with the counts of omitted runs between them; a count is not part of the limit.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn history(&self, query: &RunQuery) -> Result<Vec<RunListEntry>, Error> {
        let records = self.runs(query)?;
        if query.only.is_some() {
            return Ok(interleave(records, Vec::new()));
        }
        let oldest = records.last().filter(|_| records.len() == limit(query)).map(|record| record.ended);
        let after = oldest.unwrap_or(Timestamp::MIN);
        let mut omitted = self.shared().sample.newest(query, after);
        omitted.extend(self.storage().omitted(query, after)?);
        Ok(interleave(records, omitted))
    }

    /// Returns the newest run record whose id equals `id` or ends with it, including one that is not on disk yet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn run(&self, id: &str) -> Result<Option<RunRecord>, Error> {
        self.flush();
        match self.shared().runs.find(id) {
            Some(record) => Ok(Some(record)),
            None => self.storage().get(id),
        }
    }
}

fn limit(query: &RunQuery) -> usize {
    if query.limit == 0 { DEFAULT_LIMIT } else { query.limit }
}
