//! Metadata and acknowledgements: readable in memory at once, written to disk with the next group of writes.

use std::collections::BTreeSet;
use std::mem;

use parking_lot::Mutex;

use crate::event::TimerKey;
use crate::services::store::storage::DeferredWrites;
use crate::value::{Map, Value};

/// All metadata, and the changes that are not on disk yet.
pub(super) struct Deferred(Mutex<DeferredState>);

#[derive(Default)]
struct DeferredState {
    metadata: Map,
    changed: BTreeSet<String>,
    acknowledged_timers: Vec<TimerKey>,
    acknowledged_events: Vec<u64>,
}

impl Deferred {
    /// Starts with the metadata of the database.
    pub(super) fn new(metadata: Map) -> Self {
        Self(Mutex::new(DeferredState { metadata, ..DeferredState::default() }))
    }

    /// Sets a metadata entry; `None` removes it.
    pub(super) fn set(&self, key: &str, value: Option<Value>) {
        let mut state = self.0.lock();
        if state.metadata.get(key) == value.as_ref() {
            return;
        }
        match value {
            Some(value) => state.metadata.insert(key.to_owned(), value),
            None => state.metadata.remove(key),
        };
        state.changed.insert(key.to_owned());
    }

    /// Returns a metadata entry.
    pub(super) fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().metadata.get(key).cloned()
    }

    /// Enqueues the acknowledgement of a timer.
    pub(super) fn acknowledge_timer(&self, key: TimerKey) {
        self.0.lock().acknowledged_timers.push(key);
    }

    /// Enqueues the acknowledgement of an event delivery.
    pub(super) fn acknowledge_event(&self, number: u64) {
        self.0.lock().acknowledged_events.push(number);
    }

    /// Returns whether everything is on disk.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Removes and returns the changes that are not on disk; `None` if there are none.
    pub(super) fn take(&self) -> Option<DeferredWrites> {
        let mut state = self.0.lock();
        if state.is_empty() {
            return None;
        }
        let changed = mem::take(&mut state.changed);
        let metadata = changed.into_iter().map(|key| {
            let value = state.metadata.get(&key).cloned();
            (key, value)
        });
        let metadata = metadata.collect();
        Some(DeferredWrites {
            metadata,
            acknowledged_timers: mem::take(&mut state.acknowledged_timers),
            acknowledged_events: mem::take(&mut state.acknowledged_events),
        })
    }

    /// Puts back changes that could not be written.
    pub(super) fn put_back(&self, writes: DeferredWrites) {
        let mut state = self.0.lock();
        state.changed.extend(writes.metadata.into_iter().map(|(key, _)| key));
        state.acknowledged_timers.splice(0..0, writes.acknowledged_timers);
        state.acknowledged_events.extend(writes.acknowledged_events);
    }
}

impl DeferredState {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.acknowledged_timers.is_empty() && self.acknowledged_events.is_empty()
    }
}
