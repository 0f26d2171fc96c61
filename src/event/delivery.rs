//! Delivery of an event: its schedule, its hops, and the acknowledgement that its source expects.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::run::{Outcome, Skip};

/// Delivery of an event; the default is an event from outside that expects no acknowledgement.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Acknowledgement that the source expects once the event is finished.
    pub ack: Option<Ack>,
    /// Scheduled time, for events of a schedule that are in time; `None` for events that are made up for later.
    pub scheduled: Option<Scheduled>,
    /// Number of `emit` calls that led to the event, limited against loops; 0 for events from outside.
    pub hops: u32,
}

/// Acknowledgement that the source of an event expects.
#[derive(Debug, Clone)]
pub enum Ack {
    /// The event is an expired timer, which the store keeps until then.
    Timer(TimerKey),
    /// The event was emitted by a script; the store keeps it until then under this number.
    Emitted(u64),
    /// The sender keeps the message until then, as an MQTT broker does with QoS 1 and 2.
    Sender(Arc<dyn SenderAck>),
}

/// Acknowledgement to a sender outside the process. Dropped without a call, it is neither acknowledged nor rejected.
pub trait SenderAck: Send + Sync + fmt::Debug {
    /// Acknowledges the message: it is processed.
    fn ack(&self);

    /// Rejects the message: the sender delivers it again.
    fn nack(&self);
}

/// End of an event for its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The event is finished.
    Ack,
    /// The event is to be delivered again.
    Nack,
}

/// Identifies one setting of a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerKey {
    /// Script that set the timer.
    pub owner: String,
    /// Name of the timer.
    pub name: String,
    /// Time at which it expired.
    pub due: Timestamp,
}

/// Scheduled time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// Scheduled time.
    pub at: Timestamp,
    /// Number of missed times since the last event.
    pub missed: u64,
}

impl Delivery {
    /// Returns whether the sender keeps the message until it is acknowledged. Shared limits do not drop such events.
    pub fn requires_ack(&self) -> bool {
        matches!(self.ack, Some(Ack::Sender(_)))
    }

    /// Returns the key of the expired timer, if the event is one.
    pub fn timer(&self) -> Option<&TimerKey> {
        match &self.ack {
            Some(Ack::Timer(key)) => Some(key),
            _ => None,
        }
    }

    /// Returns the number of the emitted event, if the event is a stored one.
    pub fn emitted(&self) -> Option<u64> {
        match self.ack {
            Some(Ack::Emitted(number)) => Some(number),
            _ => None,
        }
    }

    /// Returns how the event is settled with its source after an outcome; `None` if the source delivers the event again without that.
    ///
    /// Timers and emitted events are settled by the commit of a successful run.
    pub fn settlement(&self, outcome: &Outcome, is_stopping: bool) -> Option<Settlement> {
        let is_done = match self.ack.as_ref()? {
            Ack::Sender(_) => {
                return match outcome {
                    // The token is dropped: if rhaid stops, the broker sends the message again; if a newer message replaced it, it does not.
                    Outcome::Cancelled => None,
                    Outcome::Skipped(Skip::Stopping) => Some(Settlement::Nack),
                    _ => Some(Settlement::Ack),
                };
            }
            Ack::Timer(_) => {
                let was_interrupted = is_stopping && !outcome.is_failure();
                let is_repeated =
                    matches!(outcome, Outcome::Skipped(Skip::TriggerGone | Skip::Disabled | Skip::Stopping));
                !was_interrupted && !is_repeated
            }
            Ack::Emitted(_) => !is_stopping,
        };
        (is_done && !matches!(outcome, Outcome::Succeeded(_))).then_some(Settlement::Ack)
    }
}
