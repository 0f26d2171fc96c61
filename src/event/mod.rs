//! Events: facts and time.

mod delivery;
mod id;

use jiff::Zoned;

pub use self::delivery::{Ack, Delivery, Scheduled, TimerKey};
pub use self::id::Id;
use crate::value::{Map, Value};

/// Event that wakes a handler.
#[derive(Debug, Clone)]
pub struct Event {
    /// Identifier.
    pub id: Id,
    /// Time at which it happened.
    pub at: Zoned,
    /// Short description for lists, such as `mqtt_subscribe door/front` or `cron 0 7 * * *`.
    pub summary: String,
    /// Fields of the handler's argument.
    pub payload: Map,
    /// Schedule, hops and expected acknowledgement.
    pub delivery: Delivery,
}

impl Event {
    /// Creates an event that expects no acknowledgement.
    pub fn new(at: Zoned, summary: impl Into<String>, payload: Map) -> Self {
        let id = Id::new(at.timestamp());
        Self { id, at, summary: summary.into(), payload, delivery: Delivery::default() }
    }

    /// Returns the event with an acknowledgement that its source expects.
    #[must_use]
    pub fn with_ack(mut self, ack: Option<Ack>) -> Self {
        self.delivery.ack = ack;
        self
    }

    /// Returns the payload field at a dotted path such as `params.id`.
    pub fn fact(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('.');
        let mut found = self.payload.get(steps.next()?)?;
        for step in steps {
            let Value::Map(map) = found else { return None };
            found = map.get(step)?;
        }
        Some(found)
    }
}
