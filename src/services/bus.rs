//! Named events between scripts: what `emit` says and `on_event` hears.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::value::Value;

/// What one script told all others.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// The event's name.
    pub name: String,
    /// What comes with it.
    pub data: Value,
    /// The script that told it.
    pub from: String,
    /// How many hands this has gone through: 1 for a run that was woken by something else than an `emit`.
    pub hops: u32,
}

/// Named events between scripts; cheap to clone.
#[derive(Clone, Default)]
pub struct Bus(Arc<()>);

impl Bus {
    /// Hears every event of a name from now on; ends when the receiver is dropped.
    pub fn listen(&self, _name: &str) -> mpsc::Receiver<Emitted> {
        unimplemented!()
    }

    /// Tells every listener; returns how many there were. Waits while a listener's channel is full.
    pub async fn tell(&self, _emitted: Emitted) -> usize {
        unimplemented!()
    }
}
