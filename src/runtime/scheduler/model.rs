//! Input and output types of the scheduler.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::event::{Event, Settlement};
use crate::run::{Outcome, Policy, Skip};
use crate::triggers::TriggerId;

/// Identifies the queue of an active script, from its activation until it is removed, disabled or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueId(pub(crate) u64);

/// Identifies a run within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunId(pub(super) u64);

/// Destination of a trigger's events.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Name of the trigger within its script.
    pub(crate) name: Arc<str>,
    /// Index of the handler.
    pub(crate) handler: usize,
    /// Run policy of the events.
    pub(crate) policy: Policy,
}

/// Destinations of the triggers of one script, sorted by trigger.
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

/// Returns the new trigger and the adapted event for a queued event of a removed trigger, if a new trigger takes it over.
pub(crate) type EventHandoff = dyn Fn(TriggerId, &Event) -> Option<(TriggerId, Event)> + Send;

/// Limits of queues and runs.
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

/// Reply channel with the outcome to send.
pub(crate) type OutcomeReply = (oneshot::Sender<Outcome>, Outcome);

/// Request to start a run.
#[derive(Debug)]
pub(crate) struct RunRequest<V> {
    /// Identifier within the process.
    pub(crate) run: RunId,
    /// Name of the script.
    pub(crate) script: Arc<str>,
    /// Version to run.
    pub(crate) version: V,
    /// Trigger of the version.
    pub(crate) target: Arc<Target>,
    /// The event.
    pub(crate) event: Arc<Event>,
    /// Cancelled when the run must end.
    pub(crate) cancel: CancellationToken,
    /// Number of earlier attempts.
    pub(crate) attempt: u32,
}

/// Action that the caller carries out.
#[derive(Debug)]
pub(crate) enum Action<V> {
    /// Starts a run.
    RunRequest(RunRequest<V>),
    /// Records an event that was skipped.
    Skipped {
        /// Name of the script.
        script: Arc<str>,
        /// Active version.
        version: V,
        /// Name of the trigger.
        trigger: Arc<str>,
        /// The event.
        event: Arc<Event>,
        /// Reason of the skip.
        skip: Skip,
    },
    /// Settles a finished event with its source.
    Settle(Arc<Event>, Settlement),
    /// Reports that the circuit breaker paused a script.
    Paused {
        /// Name of the script.
        script: Arc<str>,
        /// Length of the pause.
        pause: Duration,
        /// Reason of the pause.
        reason: String,
    },
    /// Reports the end of a pause.
    Resumed(Arc<str>),
}
