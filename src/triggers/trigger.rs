//! The interface that every kind of trigger implements.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::event_sender::EventSender;
use super::watch::Watch;
use crate::config::Need;
use crate::event::Event;
use crate::run::Policy;
use crate::services::Services;
use crate::value::Map;

/// Source of events that wakes one handler.
pub trait Trigger: Send + Sync {
    /// Returns a short description of the watched thing, such as `cron 0 7 * * *`.
    fn summary(&self) -> String;

    /// Applies the run policy; called once, before anything else. Returns whether the policy changes how the trigger watches.
    fn apply_policy(&mut self, _policy: &Policy) -> bool {
        false
    }

    /// Starts a watch that sends events until it is stopped. Must not block.
    fn watch(&self, sender: EventSender, services: &Services) -> Watch;

    /// Returns whether the trigger receives events that scripts emit. Such triggers start before all others when several scripts start together.
    fn receives_emitted_events(&self) -> bool {
        false
    }

    /// Takes over a queued event of a trigger of the same kind in the previous version, if this trigger would have sent it too.
    fn take_over(&self, _event: &Event) -> Option<Event> {
        None
    }

    /// Returns the next `count` times at which the trigger fires after `from`, if they can be computed.
    fn upcoming(&self, _from: &Zoned, _count: usize) -> Vec<Zoned> {
        Vec::new()
    }

    /// Returns the permissions that the trigger requires; they are checked when the script is loaded.
    fn needs(&self) -> Vec<Need<'_>> {
        Vec::new()
    }

    /// Returns the payload of an event that happens now, for events that are fired manually. Fields that depend on others are derived from `given`.
    fn example(&self, given: &Map, services: &Services) -> Map;

    /// Returns whether an event with these fields could come from this trigger, for `rhaid try`. Missing fields match.
    fn matches(&self, _given: &Map) -> bool {
        true
    }

    /// Returns the lifecycle event of the script that this trigger stands for, if any; the runtime sends it.
    fn lifecycle(&self) -> Option<Lifecycle> {
        None
    }
}

/// Lifecycle event of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// The script was activated.
    Start,
    /// The script is about to stop.
    Stop,
}

/// Configuration that triggers need to read their options.
#[derive(Debug, Clone)]
pub struct TriggerContext {
    /// Time zone of clock times.
    pub zone: TimeZone,
    /// Latitude and longitude in degrees, if `location:` is set.
    pub location: Option<(f64, f64)>,
    /// Names of the configured brokers; empty if they are unknown.
    pub brokers: Arc<[String]>,
    /// Base folder of relative globs of `watch_file`, absolute: the parent of the scripts folder.
    pub base: PathBuf,
}
