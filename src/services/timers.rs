//! Timers that survive a restart: what `timer_start` sets and `on_timer` hears.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::value::Value;

/// A timer; its owner (a script) and name tell it from all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// The script that set it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// When it runs out.
    pub due: Timestamp,
    /// What comes with it.
    pub data: Value,
}

/// Timers that survive a restart; cheap to clone.
#[derive(Clone)]
pub struct Timers(Arc<()>);

impl Timers {
    /// Takes up the timers that the store kept, and waits for the nearest in a task of its own.
    pub fn start(_store: crate::services::store::Store, _clock: crate::services::clock::Clock) -> Self {
        unimplemented!()
    }

    /// Hears an owner's timers of a name from now on, also one that ran out while nobody listened; ends when the receiver is dropped.
    ///
    /// A timer that was heard is forgotten by the store when the run it woke commits ([`crate::services::store::Batch::timers_done`]).
    pub fn listen(&self, _owner: &str, _name: &str) -> mpsc::Receiver<Timer> {
        unimplemented!()
    }

    /// Returns a timer that is set.
    pub fn find(&self, _owner: &str, _name: &str) -> Option<Timer> {
        unimplemented!()
    }

    /// Puts an end to a timer that was heard, if it is still set for that moment; for events that no run committed.
    pub fn settle(&self, _key: &crate::event::TimerKey) {
        unimplemented!()
    }

    /// Takes notice of what a batch that the store has just committed did to timers.
    pub fn committed(&self, _batch: &crate::services::store::Batch) {
        unimplemented!()
    }
}
