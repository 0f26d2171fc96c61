//! The one door for all events, and the task behind it that has them dispatched and carried out.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::dispatch::{Action, Dispatch, Heirs, LaneId, RunId, Shares, Target};
use super::execute::Executor;
use super::journal::LogBook;
use super::registry::Version;
use crate::config::Level;
use crate::run::{Outcome, Skip};
use crate::services::Services;
use crate::triggers::{Firing, TriggerId};
use crate::units::show_duration;

/// How many events may stand at the door; a trigger waits while it is full.
const INBOX: usize = 1_024;
/// How many ends of runs may wait to be noticed; a worker waits while it is full.
const ENDED: usize = 1_024;
/// How many orders may wait; who gives one waits while it is full.
const ORDERS: usize = 64;

/// What a lane is to become.
pub(crate) struct Swap {
    /// Which.
    pub(crate) lane: LaneId,
    /// The script's name.
    pub(crate) script: Arc<str>,
    /// The version that runs from now on.
    pub(crate) version: Arc<Version>,
    /// Its triggers.
    pub(crate) targets: Vec<(TriggerId, Target)>,
    /// Who takes over events whose trigger is not among them.
    pub(crate) heirs: Box<Heirs>,
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

enum Order {
    Swap(Swap, oneshot::Sender<()>),
    Cancel(Option<LaneId>, oneshot::Sender<()>),
    Remove(LaneId, Skip, oneshot::Sender<()>),
    Resume(LaneId, oneshot::Sender<()>),
    Idle(Option<LaneId>, oneshot::Sender<()>),
    Load(LaneId, oneshot::Sender<Load>),
    Share(Shares, oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// The handle on the desk; cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    inbox: mpsc::Sender<Firing>,
    orders: mpsc::Sender<Order>,
}

impl Desk {
    /// Opens the door: starts the task behind it, which ends with the last handle.
    pub(crate) fn open(
        shares: Shares,
        services: &Services,
        lines: &LogBook,
        executor: impl FnOnce(mpsc::Sender<(RunId, Outcome)>) -> Executor,
    ) -> Self {
        let (inbox, firings) = mpsc::channel(INBOX);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (ended, ends) = mpsc::channel(ENDED);
        let task = Task {
            dispatch: Dispatch::new(shares),
            services: services.clone(),
            lines: lines.clone(),
            executor: executor(ended),
            idle: Vec::new(),
        };
        tokio::spawn(task.work(firings, ordered, ends));
        Self { inbox, orders }
    }

    /// Returns the door for triggers.
    pub(crate) fn inbox(&self) -> mpsc::Sender<Firing> {
        self.inbox.clone()
    }

    /// Puts a version in a lane's place.
    pub(crate) async fn swap(&self, swap: Swap) {
        self.order(|done| Order::Swap(swap, done)).await;
    }

    /// Cancels the runs of one lane or of all.
    pub(crate) async fn cancel(&self, lane: Option<LaneId>) {
        self.order(|done| Order::Cancel(lane, done)).await;
    }

    /// Forgets a lane with all that waits and runs.
    pub(crate) async fn remove(&self, lane: LaneId, skip: Skip) {
        self.order(|done| Order::Remove(lane, skip, done)).await;
    }

    /// Closes a lane's breaker.
    pub(crate) async fn resume(&self, lane: LaneId) {
        self.order(|done| Order::Resume(lane, done)).await;
    }

    /// Waits until nothing runs or waits to run, in one lane or in all. Cancel-safe.
    pub(crate) async fn idle(&self, lane: Option<LaneId>) {
        self.order(|done| Order::Idle(lane, done)).await;
    }

    /// Returns how busy a lane is.
    pub(crate) async fn load(&self, lane: LaneId) -> Load {
        self.order(|done| Order::Load(lane, done)).await.unwrap_or_default()
    }

    /// Changes how much may wait and run.
    pub(crate) async fn share(&self, shares: Shares) {
        self.order(|done| Order::Share(shares, done)).await;
    }

    /// Tries nothing again and settles nothing from now on: the process is stopping.
    pub(crate) async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.orders.send(order(done)).await.ok()?;
        answer.await.ok()
    }
}

struct Task {
    dispatch: Dispatch<Arc<Version>>,
    services: Services,
    lines: LogBook,
    executor: Executor,
    idle: Vec<(Option<LaneId>, oneshot::Sender<()>)>,
}

impl Task {
    async fn work(
        mut self,
        mut firings: mpsc::Receiver<Firing>,
        mut orders: mpsc::Receiver<Order>,
        mut ends: mpsc::Receiver<(RunId, Outcome)>,
    ) {
        let clock = self.services.clock.clone();
        let mut busy = clock.busy();
        loop {
            let due = self.dispatch.next_alarm();
            let alarm = async {
                match due {
                    Some(due) => busy.sleep_until(due).await,
                    None => busy.idle(std::future::pending()).await,
                }
            };
            tokio::select! {
                Some(firing) = firings.recv() => self.dispatch.arrive(firing, clock.now()),
                Some((run, outcome)) = ends.recv() => self.dispatch.ended(run, outcome, clock.now()),
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    // What came before the order is judged by what was before it.
                    while let Ok(firing) = firings.try_recv() {
                        self.dispatch.arrive(firing, clock.now());
                    }
                    self.follow(order);
                }
                () = alarm => self.dispatch.wake(clock.now()),
            }
            self.act();
        }
    }

    fn follow(&mut self, order: Order) {
        let done = match order {
            Order::Swap(Swap { lane, script, version, targets, heirs, skip }, done) => {
                self.dispatch.swap(lane, script, version, targets, &*heirs, skip);
                done
            }
            Order::Cancel(lane, done) => {
                self.dispatch.cancel(lane);
                done
            }
            Order::Remove(lane, skip, done) => {
                self.dispatch.remove(lane, skip);
                done
            }
            Order::Resume(lane, done) => {
                self.dispatch.resume(lane);
                done
            }
            Order::Share(shares, done) => {
                self.dispatch.share(shares);
                done
            }
            Order::Stop(done) => {
                self.dispatch.stop();
                done
            }
            Order::Idle(lane, done) => return self.idle.push((lane, done)),
            Order::Load(lane, answer) => {
                let (waiting, running, paused_until) = self.dispatch.load(lane);
                let _ = answer.send(Load { waiting, running, paused_until });
                return;
            }
        };
        self.dispatch.pump(self.services.clock.now());
        // Who ordered may have stopped waiting.
        let _ = done.send(());
    }

    fn act(&mut self) {
        for action in self.dispatch.take_actions() {
            match action {
                Action::Start(start) => self.executor.start(start),
                Action::Skipped { script, version, trigger, event, skip } => {
                    self.executor.note_skip(&script, &version, &trigger, &event, &skip);
                }
                Action::Settle(event) => {
                    event.settles.iter().for_each(|key| self.services.timers.settle(key));
                    event.told.iter().for_each(|number| self.services.store.settle_told(*number));
                }
                Action::Paused { script, pause, why } => {
                    let text = format!(
                        "paused for {}: {why}; saving the file or `rhaid enable {script}` ends the pause at once",
                        show_duration(pause)
                    );
                    self.lines.say(Level::Error, &script, text);
                }
                Action::Resumed(script) => self.lines.say(Level::Info, &script, "goes on after its pause"),
            }
        }
        for (lane, done) in std::mem::take(&mut self.idle) {
            if self.dispatch.is_idle(lane) {
                let _ = done.send(());
            } else if !done.is_closed() {
                self.idle.push((lane, done));
            }
        }
    }
}
