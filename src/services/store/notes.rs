//! Small facts of rhaid's own: all in memory, and on disk a moment later.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use crate::event::TimerKey;
use crate::services::store::{batch, event_deliveries};
use crate::value::{Map, Value, map_of};

/// The facts, and which of them are not on disk yet.
pub(super) struct Notes(Mutex<State>);

#[derive(Default)]
struct State {
    known: BTreeMap<String, Value>,
    changed: BTreeSet<String>,
    settled: Vec<TimerKey>,
    heard: Vec<u64>,
}

/// What is to be written; put back if that fails.
#[derive(Default)]
pub(super) struct Unwritten {
    notes: Vec<(String, Option<Value>)>,
    settled: Vec<TimerKey>,
    heard: Vec<u64>,
}

impl Notes {
    /// Starts with what the database holds.
    pub(super) fn new(known: BTreeMap<String, Value>) -> Self {
        Self(Mutex::new(State { known, ..State::default() }))
    }

    /// Puts a fact, or takes it away.
    pub(super) fn put(&self, key: &str, value: Option<Value>) {
        let mut state = self.lock();
        if state.known.get(key) == value.as_ref() {
            return;
        }
        match value {
            Some(value) => state.known.insert(key.to_owned(), value),
            None => state.known.remove(key),
        };
        state.changed.insert(key.to_owned());
    }

    /// Returns a fact.
    pub(super) fn find(&self, key: &str) -> Option<Value> {
        self.lock().known.get(key).cloned()
    }

    /// Notes that a timer is done with.
    pub(super) fn settle(&self, key: TimerKey) {
        self.lock().settled.push(key);
    }

    /// Notes that an event is done with.
    pub(super) fn settle_told(&self, number: u64) {
        self.lock().heard.push(number);
    }

    /// Returns whether everything is on disk.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.changed.is_empty() && state.settled.is_empty() && state.heard.is_empty()
    }

    /// Takes what is to be written.
    pub(super) fn take(&self) -> Unwritten {
        let mut state = self.lock();
        let changed = mem::take(&mut state.changed);
        let notes = changed.into_iter().map(|key| (state.known.get(&key).cloned(), key)).map(|(v, k)| (k, v)).collect();
        Unwritten { notes, settled: mem::take(&mut state.settled), heard: mem::take(&mut state.heard) }
    }

    /// Takes back what could not be written.
    pub(super) fn put_back(&self, unwritten: Unwritten) {
        let mut state = self.lock();
        state.changed.extend(unwritten.notes.into_iter().map(|(key, _)| key));
        state.settled.splice(0..0, unwritten.settled);
        state.heard.extend(unwritten.heard);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Unwritten {
    /// Writes it, inside the caller's transaction.
    pub(super) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        for (key, value) in &self.notes {
            match value {
                Some(value) => db
                    .prepare_cached("INSERT OR REPLACE INTO note (key, value) VALUES (?1, ?2)")?
                    .execute([key, &batch::encoded(value)]),
                None => db.prepare_cached("DELETE FROM note WHERE key = ?1")?.execute([key]),
            }?;
        }
        self.heard.iter().try_for_each(|number| event_deliveries::forget(db, *number))?;
        self.settled.iter().try_for_each(|key| batch::settle(db, key))
    }
}

/// Reads all facts but those that make no sense.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Map> {
    let mut statement = db.prepare("SELECT key, value FROM note")?;
    let payload = statement.query_map([], |row| Ok((row.get(0)?, batch::decoded(row, 1).ok())))?;
    let payload = payload.filter_map(|fact| fact.map(|(key, value)| Some((key, value?))).transpose());
    payload.collect::<Result<Vec<_>, _>>().map(map_of)
}
