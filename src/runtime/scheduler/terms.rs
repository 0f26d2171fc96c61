//! What dispatch is told, and what it says is to be done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::event::Event;
use crate::run::{Outcome, Policy, Skip};
use crate::triggers::TriggerId;

/// Names one life of a script: from going live until it is removed, disabled or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueId(pub(crate) u64);

/// Names a run within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunId(pub(super) u64);

/// Where a trigger's events go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The trigger's name within its script.
    pub(crate) name: Arc<str>,
    /// Which function it wakes.
    pub(crate) handler: usize,
    /// How its events become runs.
    pub(crate) policy: Policy,
}

/// Where the events of a script's triggers go.
pub(super) struct Targets(Box<[(TriggerId, Arc<Target>)]>);

impl Targets {
    pub(super) fn new(mut targets: Vec<(TriggerId, Target)>) -> Self {
        targets.sort_unstable_by_key(|(trigger, _)| *trigger);
        Self(targets.into_iter().map(|(trigger, target)| (trigger, Arc::new(target))).collect())
    }

    pub(super) fn get(&self, trigger: &TriggerId) -> Option<&Arc<Target>> {
        let at = self.0.binary_search_by_key(trigger, |(trigger, _)| *trigger).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn triggers(&self) -> impl Iterator<Item = &TriggerId> {
        self.0.iter().map(|(trigger, _)| trigger)
    }
}

/// Finds the trigger that takes over an event of one that is gone, and the event as it tells it.
pub(crate) type EventHandoff = dyn Fn(TriggerId, &Event) -> Option<(TriggerId, Event)> + Send;

/// How much may wait and run.
#[derive(Debug, Clone)]
pub(crate) struct QueueLimits {
    pub(super) queue: usize,
    pub(super) parallel: usize,
    pub(super) runs: usize,
    pub(super) breaker: usize,
    pub(super) failures: usize,
    pub(super) pause: Duration,
}

impl From<&Limits> for QueueLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            queue: limits.queue.max(1),
            parallel: limits.parallel.max(1),
            runs: limits.runs.max(1),
            breaker: limits.breaker as usize,
            failures: limits.failures.max(1),
            pause: limits.pause,
        }
    }
}

/// Someone who waits for how an event ended, and how that is.
pub(crate) type Answer = (oneshot::Sender<Outcome>, Outcome);

/// A run to start.
#[derive(Debug)]
pub(crate) struct Start<V> {
    /// The run's name within the process.
    pub(crate) run: RunId,
    /// The script's name.
    pub(crate) script: Arc<str>,
    /// The version to run on.
    pub(crate) version: V,
    /// Which trigger of it.
    pub(crate) target: Arc<Target>,
    /// What woke it.
    pub(crate) event: Arc<Event>,
    /// Set when the run must end.
    pub(crate) cancel: CancellationToken,
    /// How often this event was tried before.
    pub(crate) attempt: u32,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action<V> {
    /// A run starts.
    Start(Start<V>),
    /// An event became no run: to be noted. Who asked has been answered.
    Skipped {
        /// The script's name.
        script: Arc<str>,
        /// Its version.
        version: V,
        /// The trigger's name.
        trigger: Arc<str>,
        /// What happened.
        event: Arc<Event>,
        /// Why there was no run.
        skip: Skip,
    },
    /// Acknowledges an event that finished without a commit, and that its source does not deliver again.
    Acknowledge(Arc<Event>),
    /// A script was paused by the breaker.
    Paused {
        /// The script's name.
        script: Arc<str>,
        /// For how long.
        pause: Duration,
        /// Why.
        why: String,
    },
    /// A pause is over.
    Resumed(Arc<str>),
}
