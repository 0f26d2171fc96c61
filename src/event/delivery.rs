//! Delivery of an event: its schedule, its hops, and the acknowledgement that its source expects.

use jiff::Timestamp;

use crate::run::{Outcome, Skip};

/// Delivery of an event; the default is an event from outside that expects no acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Acknowledgement that the source expects once the event is finished.
    pub ack: Option<Ack>,
    /// Scheduled time, for events of a schedule that are in time; `None` for events that are made up for later.
    pub scheduled: Option<Scheduled>,
    /// Number of `emit` calls that led to the event, limited against loops; 0 for events from outside.
    pub hops: u32,
}

/// Acknowledgement that the source of an event expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// The event is an expired timer, which the store keeps until then.
    Timer(TimerKey),
    /// The event was emitted by a script; the store keeps it until then under this number.
    Emitted(u64),
    /// The sender keeps the message until then, as an MQTT broker does with QoS 1 and 2. It is acknowledged by the reply to the trigger.
    Sender,
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
        self.ack == Some(Ack::Sender)
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

    /// Returns the acknowledgement that is due after an outcome: none after success, because the commit of the run contains it, and none if the
    /// source delivers the event again.
    pub fn ack_after(&self, outcome: &Outcome, is_stopping: bool) -> Option<&Ack> {
        let is_due = match self.ack.as_ref()? {
            Ack::Timer(_) => {
                let was_interrupted = is_stopping && !outcome.is_failure();
                let is_repeated =
                    matches!(outcome, Outcome::Skipped(Skip::TriggerGone | Skip::Disabled | Skip::Stopping));
                !was_interrupted && !is_repeated
            }
            Ack::Emitted(_) => !is_stopping,
            Ack::Sender => false,
        };
        self.ack.as_ref().filter(|_| is_due && !matches!(outcome, Outcome::Succeeded(_)))
    }
}
