//! The one door for all events, and the desk behind it, where they are dispatched and carried out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::execute::{End, Executor};
use super::registry::Version;
use super::run_log::LogStore;
use super::scheduler::{Action, Answer, EventHandoff, QueueId, QueueLimits, RunId, Scheduler, Start, Target};
use crate::config::Level;
use crate::run::Skip;
use crate::services::Services;
use crate::services::clock::{ActivityGuard, Clock};
use crate::triggers::{Inbox, TriggerEvent, TriggerId};
use crate::units::show_duration;

/// What a lane is to become.
pub(crate) struct Swap {
    /// Which.
    pub(crate) lane: QueueId,
    /// The script's name.
    pub(crate) script: Arc<str>,
    /// The version that runs from now on.
    pub(crate) version: Arc<Version>,
    /// Its triggers.
    pub(crate) targets: Vec<(TriggerId, Target)>,
    /// Who takes over events whose trigger is not among them.
    pub(crate) heirs: Box<EventHandoff>,
    /// What becomes of the others.
    pub(crate) skip: Skip,
}

/// How busy a script is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Events that wait.
    pub(crate) waiting: usize,
    /// Runs that go on.
    pub(crate) running: usize,
    /// Until when the breaker holds it.
    pub(crate) paused_until: Option<Timestamp>,
}

/// The desk; cheap to clone.
///
/// Whoever brings something takes the turn: a trigger with an event, a worker at the end of a run (which may go on with the next one at
/// once), the house with an order. What the turn comes to is done after it, without the lock.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Inner>);

struct Inner {
    book: Mutex<Book>,
    alarm: Arc<Alarm>,
    services: Services,
    lines: LogStore,
    executor: Executor,
}

struct Book {
    dispatch: Scheduler<Arc<Version>>,
    /// Who waits until nothing runs or waits to run, in one lane or in all.
    idle: Vec<(Option<QueueId>, oneshot::Sender<()>)>,
}

/// Tells the task that wakes the dispatch that there is an earlier time to do so.
#[derive(Default)]
struct Alarm {
    changed: Notify,
    /// Holds a hand-turned clock until the task knows.
    activity: Mutex<Option<ActivityGuard>>,
}

/// What something that happened comes to.
struct Turn {
    actions: Vec<Action<Arc<Version>>>,
    /// Who is told after that how an event ended.
    answers: Vec<Answer>,
    /// Who is told that nothing runs or waits.
    idle: Vec<oneshot::Sender<()>>,
    /// Until that is done, a hand-turned clock must not move on.
    _busy: ActivityGuard,
}

impl Dispatcher {
    /// Opens the door; starts the task that wakes the dispatch when something is due, which ends soon after the last handle is gone.
    pub(crate) fn open(shares: QueueLimits, services: &Services, lines: &LogStore, executor: Executor) -> Self {
        let inner = Arc::new(Inner {
            book: Mutex::new(Book { dispatch: Scheduler::new(shares), idle: Vec::new() }),
            alarm: Arc::default(),
            services: services.clone(),
            lines: lines.clone(),
            executor,
        });
        let (clock, activity) = (services.clock.clone(), services.clock.activity());
        tokio::spawn(wake_when_due(Arc::downgrade(&inner), inner.alarm.clone(), clock, activity));
        Self(inner)
    }

    /// Returns the door for triggers.
    pub(crate) fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.clone())
    }

    /// Puts a version in a lane's place.
    pub(crate) fn swap(&self, swap: Swap) {
        let Swap { lane, script, version, targets, heirs, skip } = swap;
        self.order(|dispatch| dispatch.swap(lane, script, version, targets, &*heirs, skip));
    }

    /// Cancels the runs of one lane or of all.
    pub(crate) fn cancel(&self, lane: Option<QueueId>) {
        self.order(|dispatch| dispatch.cancel(lane));
    }

    /// Forgets a lane with all that waits and runs.
    pub(crate) fn remove(&self, lane: QueueId, skip: Skip) {
        self.order(|dispatch| dispatch.remove(lane, skip));
    }

    /// Closes a lane's breaker.
    pub(crate) fn resume(&self, lane: QueueId) {
        self.order(|dispatch| dispatch.resume(lane));
    }

    /// Changes how much may wait and run.
    pub(crate) fn share(&self, shares: QueueLimits) {
        self.order(|dispatch| dispatch.share(shares));
    }

    /// Tries nothing again and settles nothing from now on: the process is stopping.
    pub(crate) fn stop(&self) {
        self.order(Scheduler::stop);
    }

    /// Waits until nothing runs or waits to run, in one lane or in all. Cancel-safe.
    pub(crate) async fn idle(&self, lane: Option<QueueId>) {
        let (done, is_idle) = oneshot::channel();
        self.0.lock().idle.push((lane, done));
        self.act(self.0.turn(|_, _| {}));
        // It is told, or the desk is gone.
        let _ = is_idle.await;
    }

    /// Cancels runs until there are none, for a second at most.
    pub(crate) async fn cut_off(&self) {
        for _ in 0..100 {
            self.cancel(None);
            if timeout(Duration::from_millis(10), self.idle(None)).await.is_ok() {
                return;
            }
        }
    }

    /// Returns how busy a lane is.
    pub(crate) fn load(&self, lane: QueueId) -> Load {
        let (waiting, running, paused_until) = self.0.lock().dispatch.load(lane);
        Load { waiting, running, paused_until }
    }

    fn order(&self, order: impl FnOnce(&mut Scheduler<Arc<Version>>)) {
        self.act(self.0.turn(|dispatch, now| {
            order(dispatch);
            dispatch.pump(now);
        }));
    }

    /// Takes notice of the end of a run; returns the one that the worker goes on with, if it is to go on.
    fn ended(&self, run: RunId, end: End) -> Option<Start<Arc<Version>>> {
        let mut turn = self.0.turn(|dispatch, now| match end {
            End::Returned => dispatch.returned(run, now),
            End::Over(outcome) => dispatch.ended(run, outcome, now),
        });
        let next = turn.actions.iter().position(|action| matches!(action, Action::Start(_)));
        let next = next.filter(|_| self.0.executor.is_free()).map(|at| turn.actions.remove(at));
        self.act(turn);
        match next {
            Some(Action::Start(start)) => Some(start),
            _ => None,
        }
    }

    fn act(&self, turn: Turn) {
        let Inner { services, lines, executor, .. } = &*self.0;
        for action in turn.actions {
            match action {
                Action::Start(start) => {
                    let desk = self.clone();
                    executor.start(start, move |run, end| desk.ended(run, end));
                }
                Action::Skipped { script, version, trigger, event, skip } => {
                    executor.note_skip(&script, &version, &trigger, &event, &skip);
                }
                Action::Acknowledge(event) => {
                    event.delivery.ack.iter().for_each(|ack| services.acknowledge(ack));
                }
                Action::Paused { script, pause, why } => {
                    let text = format!(
                        "paused for {}: {why}; saving the file or `rhaid enable {script}` ends the pause at once",
                        show_duration(pause)
                    );
                    lines.say(Level::Error, &script, text);
                }
                Action::Resumed(script) => lines.say(Level::Info, &script, "goes on after its pause"),
            }
        }
        for (reply, outcome) in turn.answers {
            // Who asked may have stopped waiting.
            let _ = reply.send(outcome);
        }
        for done in turn.idle {
            let _ = done.send(());
        }
    }
}

impl Inbox for Dispatcher {
    fn put(&self, firing: TriggerEvent) {
        self.act(self.0.turn(|dispatch, now| dispatch.arrive(firing, now)));
    }
}

impl Inner {
    /// Lets something happen to the dispatch, and returns what is to be done.
    fn turn(&self, happens: impl FnOnce(&mut Scheduler<Arc<Version>>, Timestamp)) -> Turn {
        let activity = self.services.clock.activity();
        let mut book = self.lock();
        let alarm = book.dispatch.next_alarm();
        happens(&mut book.dispatch, self.services.clock.now());
        let (actions, answers) = book.dispatch.take_actions();
        let idle = book.take_idle();
        if book.dispatch.next_alarm().is_some_and(|due| alarm.is_none_or(|before| due < before)) {
            self.alarm.activity().get_or_insert_with(|| activity.share());
            self.alarm.changed.notify_one();
        }
        Turn { actions, answers, idle, _busy: activity }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }
}

impl Book {
    /// Takes those who wait for what has come, or wait no longer.
    fn take_idle(&mut self) -> Vec<oneshot::Sender<()>> {
        let Self { dispatch, idle } = self;
        idle.extract_if(.., |(lane, done)| done.is_closed() || dispatch.is_idle(*lane)).map(|(_, done)| done).collect()
    }
}

impl Alarm {
    fn activity(&self) -> MutexGuard<'_, Option<ActivityGuard>> {
        self.activity.lock()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.alarm.changed.notify_one();
    }
}

/// Tries again what is due, and ends pauses that are over, until the desk is gone.
async fn wake_when_due(desk: Weak<Inner>, alarm: Arc<Alarm>, clock: Clock, mut activity: ActivityGuard) {
    while let Some(open) = desk.upgrade().map(Dispatcher) {
        let due = open.0.lock().dispatch.next_alarm();
        drop(open);
        let changed = alarm.changed.notified();
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
        drop(alarm.activity().take());
        if let Some(open) = desk.upgrade().map(Dispatcher).filter(|_| is_due) {
            open.act(open.0.turn(Scheduler::wake));
        }
    }
}
