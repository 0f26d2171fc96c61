//! Sends events of one trigger to the inbox.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::event::Event;
use crate::run::{Outcome, Skip};
use crate::services::clock::{ActivityGuard, Clock};

/// Identifies an active trigger within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerId(pub u64);

/// Event for the handler of one trigger, as it enters the inbox.
#[derive(Debug)]
pub struct TriggerEvent {
    /// The trigger.
    pub trigger: TriggerId,
    /// The event.
    pub event: Event,
    /// Receives the outcome of the run, if the sender waits for it.
    pub reply: Option<oneshot::Sender<Outcome>>,
    /// Reason why the trigger itself skips the event: it is recorded and not run.
    pub skip: Option<Skip>,
    /// Holds a manual clock until the event is finished.
    pub activity: ActivityGuard,
}

/// Inbox for the events of all triggers.
pub trait Inbox: Send + Sync {
    /// Enqueues an event without blocking. The queues behind it are bounded and have an overflow policy.
    fn put(&self, event: TriggerEvent) {
        self.put_all(vec![event]);
    }

    /// Enqueues events in order, like [`Inbox::put`].
    fn put_all(&self, events: Vec<TriggerEvent>);
}

/// Sends the events of one trigger to the inbox; cheap to clone.
#[derive(Clone)]
pub struct EventSender {
    trigger: TriggerId,
    owner: Arc<str>,
    inbox: Arc<dyn Inbox>,
    clock: Clock,
}

impl EventSender {
    /// Creates the sender of one trigger.
    pub fn new(trigger: TriggerId, owner: Arc<str>, inbox: Arc<dyn Inbox>, clock: Clock) -> Self {
        Self { trigger, owner, inbox, clock }
    }

    /// Returns the name of the script that declares the trigger, which also owns its timers.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Sends an event without waiting for the outcome.
    pub fn tell(&self, event: Event) {
        self.put(event, None, None, self.clock.activity());
    }

    /// Sends events in order without waiting for their outcomes.
    pub fn tell_all(&self, events: Vec<Event>) {
        let events = events.into_iter().map(|event| {
            let activity = self.clock.activity();
            TriggerEvent { trigger: self.trigger, event, reply: None, skip: None, activity }
        });
        self.inbox.put_all(events.collect());
    }

    /// Sends an event and returns its pending outcome.
    pub fn ask(&self, event: Event) -> PendingOutcome {
        let (reply, outcome) = oneshot::channel();
        let activity = self.clock.activity();
        self.put(event, Some(reply), None, activity.share());
        PendingOutcome { outcome, activity }
    }

    /// Records an event as skipped, without a run.
    pub fn skip(&self, event: Event, reason: Skip) {
        self.put(event, None, Some(reason), self.clock.activity());
    }

    fn put(&self, event: Event, reply: Option<oneshot::Sender<Outcome>>, skip: Option<Skip>, activity: ActivityGuard) {
        self.inbox.put(TriggerEvent { trigger: self.trigger, event, reply, skip, activity });
    }
}

/// Pending outcome of an event. Holds a manual clock until it is awaited or dropped.
pub struct PendingOutcome {
    outcome: oneshot::Receiver<Outcome>,
    activity: ActivityGuard,
}

impl PendingOutcome {
    /// Waits for the outcome; returns `Skipped(Stopping)` if the process stops first.
    pub async fn outcome(self) -> Outcome {
        self.with_activity().await.0
    }

    /// Waits for the outcome like [`PendingOutcome::outcome`], and returns the guard that holds a manual clock with it.
    pub async fn with_activity(self) -> (Outcome, ActivityGuard) {
        (self.outcome.await.unwrap_or(Outcome::Skipped(Skip::Stopping)), self.activity)
    }
}
