//! Rows that wait to be written.

use std::collections::VecDeque;
use std::mem;

use parking_lot::{Mutex, MutexGuard};

use super::row::{Class, RetentionPolicy, RunQuery, RunRecord, wants};
use crate::effect::Effect;
use crate::value::Value;

/// At most so many rows wait in memory.
const MAX_WAITING: usize = 8192;
/// Of so many rows that wait, and of each as many more, the writer hears anew; no more of them ride along with a commit.
pub(in crate::services::store) const CROWD: usize = 512;
/// At most about so many bytes wait in memory.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Rows that are not on disk yet. Bounded: when full, the oldest that did not fail give way and are counted.
#[derive(Default)]
pub(in crate::services::store) struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    rows: VecDeque<RunRecord>,
    bytes: usize,
    thinned: u64,
    keep: RetentionPolicy,
}

impl Waiting {
    /// Says how much is kept on disk.
    pub(in crate::services::store) fn keep(&self, keep: RetentionPolicy) {
        self.lock().keep = keep;
    }

    /// Returns how much is kept on disk.
    pub(in crate::services::store) fn kept(&self) -> RetentionPolicy {
        self.lock().keep
    }

    /// Adds a row, never waiting; returns whether the writer should hear of it: of the first, and of each crowd.
    pub(in crate::services::store) fn push(&self, row: RunRecord) -> bool {
        let weight = weight(&row);
        let mut state = self.lock();
        state.bytes += weight;
        state.rows.push_back(row);
        let is_news = state.rows.len() == 1 || state.rows.len().is_multiple_of(CROWD);
        state.thin();
        is_news
    }

    /// Returns how many rows wait.
    pub(in crate::services::store) fn len(&self) -> usize {
        self.lock().rows.len()
    }

    /// Takes the oldest rows, at most so many.
    pub(in crate::services::store) fn take(&self, most: usize) -> VecDeque<RunRecord> {
        let mut state = self.lock();
        if state.rows.len() <= most {
            state.bytes = 0;
            return mem::take(&mut state.rows);
        }
        let taken: VecDeque<RunRecord> = state.rows.drain(..most).collect();
        state.bytes = state.bytes.saturating_sub(taken.iter().map(weight).sum());
        taken
    }

    /// Takes back rows that could not be written; they come before those that came meanwhile.
    pub(in crate::services::store) fn put_back(&self, mut rows: VecDeque<RunRecord>) {
        let mut state = self.lock();
        state.bytes += rows.iter().map(weight).sum::<usize>();
        rows.append(&mut state.rows);
        state.rows = rows;
        state.thin();
    }

    /// Returns how many rows were dropped since this was last asked.
    pub(in crate::services::store) fn take_thinned(&self) -> u64 {
        mem::take(&mut self.lock().thinned)
    }

    /// Lists what waits, newest first.
    pub(in crate::services::store) fn newest(&self, query: &RunQuery, limit: usize) -> Vec<RunRecord> {
        self.lock().rows.iter().rev().filter(|row| wants(query, row)).take(limit).cloned().collect()
    }

    /// Finds the newest row whose id is this or ends with it.
    pub(in crate::services::store) fn find(&self, id: &str) -> Option<RunRecord> {
        self.lock().rows.iter().rev().find(|row| row.id.ends_with(id)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// Makes room for a while: an eighth of the rows goes at once, so that a flood does not search for each.
    fn thin(&mut self) {
        if self.rows.len() <= MAX_WAITING && self.bytes <= MAX_WAITING_BYTES {
            return;
        }
        let before = self.rows.len();
        let (max_rows, max_bytes) = (MAX_WAITING / 8 * 7, MAX_WAITING_BYTES / 8 * 7);
        for only_dull in [true, false] {
            let (mut rows, mut bytes) = (self.rows.len(), self.bytes);
            self.rows.retain(|row| {
                let gives_way =
                    (rows > max_rows || bytes > max_bytes) && !(only_dull && Class::of(row) == Class::Failed);
                if gives_way {
                    rows -= 1;
                    bytes -= weight(row);
                }
                !gives_way
            });
            self.bytes = bytes;
        }
        self.thinned += (before - self.rows.len()) as u64;
    }
}

/// About how many bytes a row holds.
fn weight(row: &RunRecord) -> usize {
    let effects: usize = row.effects.iter().map(Effect::weight).sum();
    256 + row.event.len() + row.why.as_ref().map_or(0, String::len) + effects + value_weight(&row.payload)
}

fn value_weight(value: &Value) -> usize {
    32 + match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(value_weight).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + value_weight(value)).sum(),
        _ => 0,
    }
}
