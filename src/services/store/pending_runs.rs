//! Run records that wait to be written, in memory.

use std::collections::VecDeque;
use std::mem;

use parking_lot::Mutex;

use crate::services::store::encoded_run::EncodedRun;
use crate::services::store::run_record::{OutcomeClass, RetentionPolicy, RunQuery, RunRecord};

/// The largest number of records in memory.
const MAX_RECORDS: usize = 8192;
/// The largest approximate size of the records in memory, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// The largest number of records that shares the transaction of a commit.
pub(super) const BATCH_ROWS: usize = 512;

/// Bounded queue of run records. When it is full, the oldest records are dropped and counted, those of failed runs last.
#[derive(Default)]
pub(super) struct PendingRuns(Mutex<RunQueue>);

#[derive(Default)]
struct RunQueue {
    records: VecDeque<EncodedRun>,
    bytes: usize,
    dropped: u64,
    retention: RetentionPolicy,
}

impl PendingRuns {
    /// Sets the retention policy of the records that are written from now on.
    pub(super) fn set_retention(&self, retention: RetentionPolicy) {
        self.0.lock().retention = retention;
    }

    /// Returns the retention policy.
    pub(super) fn retention(&self) -> RetentionPolicy {
        self.0.lock().retention
    }

    /// Adds a record without blocking; returns whether the queue has become half full, so that it must be written at once.
    pub(super) fn push(&self, record: EncodedRun) -> bool {
        let weight = record.weight();
        let mut queue = self.0.lock();
        let was_half_full = queue.is_half_full();
        queue.bytes += weight;
        queue.records.push_back(record);
        let is_half_full = queue.is_half_full();
        queue.evict();
        is_half_full && !was_half_full
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> usize {
        self.0.lock().records.len()
    }

    /// Removes and returns the oldest records, at most `limit`.
    pub(super) fn take(&self, limit: usize) -> VecDeque<EncodedRun> {
        let mut queue = self.0.lock();
        if queue.records.len() <= limit {
            queue.bytes = 0;
            return mem::take(&mut queue.records);
        }
        let taken: VecDeque<EncodedRun> = queue.records.drain(..limit).collect();
        queue.bytes = queue.bytes.saturating_sub(taken.iter().map(EncodedRun::weight).sum());
        taken
    }

    /// Puts records that could not be written back in front.
    pub(super) fn put_back(&self, mut records: VecDeque<EncodedRun>) {
        let mut queue = self.0.lock();
        queue.bytes += records.iter().map(EncodedRun::weight).sum::<usize>();
        records.append(&mut queue.records);
        queue.records = records;
        queue.evict();
    }

    /// Returns the number of records dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        mem::take(&mut self.0.lock().dropped)
    }

    /// Lists the records that match a query, newest first.
    pub(super) fn newest(&self, query: &RunQuery, limit: usize) -> Vec<RunRecord> {
        let queue = self.0.lock();
        let found = queue.records.iter().rev().filter(|record| record.matches(query)).take(limit);
        found.filter_map(EncodedRun::decode).collect()
    }

    /// Finds the newest record whose id equals `id` or ends with it.
    pub(super) fn find(&self, id: &str) -> Option<RunRecord> {
        self.0.lock().records.iter().rev().find(|record| record.id.ends_with(id)).and_then(EncodedRun::decode)
    }
}

impl RunQueue {
    fn is_half_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS / 2 || self.bytes >= MAX_BYTES / 2
    }

    /// Drops an eighth of the records when the queue is full, so that a burst does not search the queue for every record.
    fn evict(&mut self) {
        if self.records.len() <= MAX_RECORDS && self.bytes <= MAX_BYTES {
            return;
        }
        let before = self.records.len();
        let (max_records, max_bytes) = (MAX_RECORDS / 8 * 7, MAX_BYTES / 8 * 7);
        for only_low_priority in [true, false] {
            let (mut records, mut bytes) = (self.records.len(), self.bytes);
            self.records.retain(|record| {
                let is_protected = only_low_priority && record.class == OutcomeClass::Failed;
                let is_dropped = (records > max_records || bytes > max_bytes) && !is_protected;
                if is_dropped {
                    records -= 1;
                    bytes -= record.weight();
                }
                !is_dropped
            });
            self.bytes = bytes;
        }
        self.dropped += (before - self.records.len()) as u64;
    }
}
