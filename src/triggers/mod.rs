//! Triggers: one file per kind, and the list of kinds.

pub mod at;
#[cfg(test)]
mod bench;
pub mod cron;
pub mod event;
mod event_sender;
pub mod every;
pub mod file;
mod kind;
pub mod lifecycle;
mod local_time;
mod manual;
pub mod mqtt;
pub mod mqtt_connection;
pub mod silence;
mod spec;
mod tick;
pub mod timer;
mod trigger;
mod watch;
pub mod webhook;

pub use self::event_sender::{EventSender, Inbox, PendingOutcome, TriggerEvent, TriggerId};
pub use self::kind::{Kind, Read, TryOption};
pub use self::manual::manual_payload;
pub use self::spec::{TriggerSpec, read};
pub use self::trigger::{Lifecycle, Trigger, TriggerContext};
pub use self::watch::Watch;

/// All kinds, in the order of the reference.
pub const KINDS: &[&Kind] = &[
    &mqtt::KIND,
    &cron::KIND,
    &every::KIND,
    &at::KIND,
    &webhook::KIND,
    &file::KIND,
    &timer::KIND,
    &event::KIND,
    &silence::KIND,
    &mqtt_connection::KIND,
    &lifecycle::START,
    &lifecycle::STOP,
];

#[cfg(test)]
mod tests;
