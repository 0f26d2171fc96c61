//! Dispatcher: inbox of all events. Runs the scheduler and carries its actions out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::execute::{Executor, RunEnd, RunEnds};
use super::registry::ScriptVersion;
use super::run_log::LogStore;
use super::scheduler::{
    Action, EventHandoff, OutcomeReply, QueueId, QueueLimits, RunId, RunRequest, Scheduler, Target,
};
use crate::config::Level;
use crate::run::{Outcome, Skip};
use crate::services::Services;
use crate::services::clock::{ActivityGuard, Clock};
use crate::triggers::{Inbox, TriggerEvent, TriggerId};
use crate::units::show_duration;

/// Number of events that are submitted in one step. Workers that end runs meanwhile wait for the step, so it must be short.
const SUBMIT_BATCH: usize = 16;

/// New version of a script queue.
pub(crate) struct Swap {
    /// The queue.
    pub(crate) queue: QueueId,
    /// Name of the script.
    pub(crate) script: Arc<str>,
    /// Version for new runs.
    pub(crate) version: Arc<ScriptVersion>,
    /// Triggers of the version.
    pub(crate) targets: Vec<(TriggerId, Target)>,
    /// Reassigns queued events of removed triggers.
    pub(crate) handoff: Box<EventHandoff>,
    /// Skip reason of the events that are not reassigned.
    pub(crate) skip: Skip,
}

/// Load of a script.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Number of queued events.
    pub(crate) waiting: usize,
    /// Number of running events.
    pub(crate) running: usize,
    /// End of the pause by the circuit breaker.
    pub(crate) paused_until: Option<Timestamp>,
}

/// Dispatcher; cheap to clone.
///
/// Every caller runs a scheduler step on its own thread: a trigger that submits an event, a worker that ends a run (and may continue with the
/// next one), the supervisor with an update. The resulting actions are carried out after the step, without the lock.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Inner>);

struct Inner {
    state: Mutex<DispatcherState>,
    wake_timer: Arc<WakeTimer>,
    services: Services,
    log: LogStore,
    executor: Executor,
}

struct DispatcherState {
    scheduler: Scheduler<Arc<ScriptVersion>>,
    /// Callers that wait until no event is queued or running, in one queue or in all.
    idle: Vec<(Option<QueueId>, oneshot::Sender<()>)>,
}

/// Signals the wake task that the next wake time is earlier.
#[derive(Default)]
struct WakeTimer {
    changed: Notify,
    /// Holds a manual clock until the task has noticed.
    activity: Mutex<Option<ActivityGuard>>,
}

/// Result of a scheduler step.
struct Step {
    actions: Vec<Action<Arc<ScriptVersion>>>,
    /// Replies to send after the actions.
    replies: Vec<OutcomeReply>,
    /// Callers of [`Dispatcher::idle`] to notify.
    idle: Vec<oneshot::Sender<()>>,
    /// Holds a manual clock until the actions are carried out.
    _busy: ActivityGuard,
}

impl Dispatcher {
    /// Starts the dispatcher and its wake task, which ends soon after the last handle is dropped.
    pub(crate) fn open(limits: QueueLimits, services: &Services, log: &LogStore, executor: Executor) -> Self {
        let inner = Arc::new(Inner {
            state: Mutex::new(DispatcherState { scheduler: Scheduler::new(limits), idle: Vec::new() }),
            wake_timer: Arc::default(),
            services: services.clone(),
            log: log.clone(),
            executor,
        });
        let (clock, activity) = (services.clock.clone(), services.clock.activity());
        tokio::spawn(wake_when_due(Arc::downgrade(&inner), inner.wake_timer.clone(), clock, activity));
        Self(inner)
    }

    /// Returns the inbox for triggers.
    pub(crate) fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.clone())
    }

    /// Installs a version in a queue.
    pub(crate) fn swap(&self, swap: Swap) {
        let Swap { queue, script, version, targets, handoff, skip } = swap;
        self.update(|scheduler| scheduler.swap(queue, script, version, targets, &*handoff, skip));
    }

    /// Cancels the runs of one queue or of all queues.
    pub(crate) fn cancel(&self, queue: Option<QueueId>) {
        self.update(|scheduler| scheduler.cancel(queue));
    }

    /// Removes a queue with all queued and running events.
    pub(crate) fn remove(&self, queue: QueueId, skip: Skip) {
        self.update(|scheduler| scheduler.remove(queue, skip));
    }

    /// Closes the circuit breaker of a queue.
    pub(crate) fn resume(&self, queue: QueueId) {
        self.update(|scheduler| scheduler.resume(queue));
    }

    /// Changes the limits.
    pub(crate) fn set_limits(&self, limits: QueueLimits) {
        self.update(|scheduler| scheduler.set_limits(limits));
    }

    /// Stops retries and acknowledgements, because the process is stopping.
    pub(crate) fn stop(&self) {
        self.update(Scheduler::stop);
    }

    /// Waits until no event is queued or running, in one queue or in all. Cancel-safe.
    pub(crate) async fn idle(&self, queue: Option<QueueId>) {
        let (done, is_idle) = oneshot::channel();
        self.0.lock().idle.push((queue, done));
        self.act(self.0.step(|_, _| {}));
        // An error means that the dispatcher was dropped.
        let _ = is_idle.await;
    }

    /// Cancels all runs until none is left, for at most one second.
    pub(crate) async fn cancel_all(&self) {
        for _ in 0..100 {
            self.cancel(None);
            if timeout(Duration::from_millis(10), self.idle(None)).await.is_ok() {
                return;
            }
        }
    }

    /// Returns the load of a queue.
    pub(crate) fn load(&self, queue: QueueId) -> Load {
        let (waiting, running, paused_until) = self.0.lock().scheduler.load(queue);
        Load { waiting, running, paused_until }
    }

    fn update(&self, update: impl FnOnce(&mut Scheduler<Arc<ScriptVersion>>)) {
        self.act(self.0.step(|scheduler, now| {
            update(scheduler);
            scheduler.pump(now);
        }));
    }

    fn act(&self, step: Step) {
        let Inner { services, log, executor, .. } = &*self.0;
        for action in step.actions {
            match action {
                Action::RunRequest(start) => {
                    executor.start(start, self.0.clone());
                }
                Action::Skipped { script, version, trigger, event, skip } => {
                    executor.record_skip(&script, &version, &trigger, &event, &skip);
                }
                Action::Settle(event, settlement) => {
                    event.delivery.ack.iter().for_each(|ack| services.settle(ack, settlement));
                }
                Action::Paused { script, pause, reason } => {
                    let text = format!(
                        "paused for {}: {reason}; saving the file or `rhaid enable {script}` ends the pause at once",
                        show_duration(pause)
                    );
                    log.write(Level::Error, &script, text);
                }
                Action::Resumed(script) => log.write(Level::Info, &script, "resumed after its pause"),
            }
        }
        for (reply, outcome) in step.replies {
            // The receiver may have stopped waiting.
            let _ = reply.send(outcome);
        }
        for done in step.idle {
            let _ = done.send(());
        }
    }
}

impl RunEnds for Inner {
    fn ended(self: Arc<Self>, run: RunId, end: RunEnd) -> Option<RunRequest<Arc<ScriptVersion>>> {
        let mut step = self.step(|scheduler, now| match end {
            RunEnd::Returned => scheduler.handler_returned(run, now),
            RunEnd::Finished(outcome) => scheduler.ended(run, outcome, now),
        });
        let next = step.actions.iter().position(|action| matches!(action, Action::RunRequest(_)));
        let next = next.filter(|_| self.executor.is_free()).map(|at| step.actions.remove(at));
        Dispatcher(self).act(step);
        match next {
            Some(Action::RunRequest(start)) => Some(start),
            _ => None,
        }
    }

    fn following(self: Arc<Self>, run: RunId) -> Option<RunRequest<Arc<ScriptVersion>>> {
        let mut following = None;
        let step = self.step(|scheduler, now| following = scheduler.following(run, now));
        Dispatcher(self).act(step);
        following
    }

    fn ended_all(self: Arc<Self>, finished: Vec<(RunId, Outcome)>, undone: Vec<RunId>) {
        let step = self.step(|scheduler, now| {
            // The last one first: each goes to the front of the queue. No run starts in between.
            undone.into_iter().rev().for_each(|run| scheduler.undone(run));
            finished.into_iter().for_each(|(run, outcome)| scheduler.ended(run, outcome, now));
            scheduler.pump(now);
        });
        Dispatcher(self).act(step);
    }
}

impl Inbox for Dispatcher {
    fn put_all(&self, events: Vec<TriggerEvent>) {
        let mut events = events.into_iter();
        while !events.as_slice().is_empty() {
            self.act(self.0.step(|scheduler, now| {
                for event in events.by_ref().take(SUBMIT_BATCH) {
                    scheduler.submit(event, now);
                }
            }));
        }
    }
}

impl Inner {
    /// Runs one step of the scheduler, and returns its result.
    fn step(&self, happens: impl FnOnce(&mut Scheduler<Arc<ScriptVersion>>, Timestamp)) -> Step {
        let activity = self.services.clock.activity();
        let mut state = self.lock();
        let wake_timer = state.scheduler.next_wake();
        happens(&mut state.scheduler, self.services.clock.now());
        let (actions, replies) = state.scheduler.take_actions();
        let idle = state.take_idle();
        if state.scheduler.next_wake().is_some_and(|due| wake_timer.is_none_or(|before| due < before)) {
            self.wake_timer.activity().get_or_insert_with(|| activity.share());
            self.wake_timer.changed.notify_one();
        }
        Step { actions, replies, idle, _busy: activity }
    }

    fn lock(&self) -> MutexGuard<'_, DispatcherState> {
        self.state.lock()
    }
}

impl DispatcherState {
    /// Takes the waiting callers whose condition is met, or whose receiver is dropped.
    fn take_idle(&mut self) -> Vec<oneshot::Sender<()>> {
        let Self { scheduler, idle } = self;
        idle.extract_if(.., |(queue, done)| done.is_closed() || scheduler.is_idle(*queue))
            .map(|(_, done)| done)
            .collect()
    }
}

impl WakeTimer {
    fn activity(&self) -> MutexGuard<'_, Option<ActivityGuard>> {
        self.activity.lock()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake_timer.changed.notify_one();
    }
}

/// Wakes the scheduler at its wake times until the dispatcher is dropped.
async fn wake_when_due(dispatcher: Weak<Inner>, wake_timer: Arc<WakeTimer>, clock: Clock, mut activity: ActivityGuard) {
    while let Some(open) = dispatcher.upgrade().map(Dispatcher) {
        let due = open.0.lock().scheduler.next_wake();
        drop(open);
        let changed = wake_timer.changed.notified();
        let is_due = match due {
            Some(due) => tokio::select! {
                () = activity.sleep_until(&clock, due) => true,
                () = changed => false,
            },
            None => {
                activity.idle(changed).await;
                false
            }
        };
        drop(wake_timer.activity().take());
        if let Some(open) = dispatcher.upgrade().map(Dispatcher).filter(|_| is_due) {
            open.act(open.0.step(Scheduler::wake));
        }
    }
}
