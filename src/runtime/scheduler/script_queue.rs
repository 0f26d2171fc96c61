//! One script's events: those that wait, those that run, and which comes next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::terms::Targets;
use super::window::Window;
use super::{QueueLimits, RunId};
use crate::event::Event;
use crate::run::{Mode, Outcome, Overflow, Skip};
use crate::services::clock::{ActivityGuard, SuspendedActivity};
use crate::triggers::TriggerId;

/// An event on its way to a run.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Whose.
    pub(crate) trigger: TriggerId,
    /// What happened.
    pub(crate) event: Arc<Event>,
    /// What tells it from the trigger's other events, if the policy names a key.
    pub(super) key: Option<String>,
    /// Holds a hand-turned clock when its run starts; not before, for the run that it waits for may wait for the time itself.
    pub(super) activity: Option<SuspendedActivity>,
    /// Who waits for the outcome.
    pub(super) reply: Option<oneshot::Sender<Outcome>>,
    /// How often it was tried before.
    pub(super) attempt: u32,
}

impl Waiting {
    fn is_like(&self, other: &Self) -> bool {
        self.trigger == other.trigger && self.key == other.key
    }
}

/// An event that is over.
pub(super) type Over = (Waiting, Outcome);

/// A run that goes on.
pub(super) struct Running {
    pub(super) waiting: Waiting,
    pub(super) cancel: CancellationToken,
    pub(super) activity: Option<ActivityGuard>,
}

/// One script's events.
pub(super) struct ScriptQueue<V> {
    pub(super) script: Arc<str>,
    pub(super) version: V,
    pub(super) targets: Targets,
    pub(super) running: BTreeMap<RunId, Running>,
    /// The run of the script's line; those beside it are of parallel triggers.
    pub(super) serial: Option<RunId>,
    /// The line: one after another, in order.
    line: VecDeque<Waiting>,
    /// Events of parallel triggers that are over their number of runs.
    beside: BTreeMap<TriggerId, VecDeque<Waiting>>,
    /// Failed events, and when they are tried again.
    resting: Vec<(Timestamp, Waiting)>,
    pub(super) rates: BTreeMap<TriggerId, Window>,
    pub(super) starts: Window,
    /// How many runs have failed since the last that went well.
    pub(super) failures: usize,
    pub(super) paused_until: Option<Timestamp>,
    pub(super) is_ready: bool,
}

impl<V> ScriptQueue<V> {
    pub(super) fn new(script: Arc<str>, version: V) -> Self {
        Self {
            script,
            version,
            targets: Targets::new(Vec::new()),
            running: BTreeMap::new(),
            serial: None,
            line: VecDeque::new(),
            beside: BTreeMap::new(),
            resting: Vec::new(),
            rates: BTreeMap::new(),
            starts: Window::default(),
            failures: 0,
            paused_until: None,
            is_ready: false,
        }
    }

    /// Returns whether nothing runs and nothing waits, but for what waits to be tried again.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.line.is_empty() && self.beside.values().all(VecDeque::is_empty)
    }

    /// Returns how many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.line.len() + self.beside.values().map(VecDeque::len).sum::<usize>() + self.resting.len()
    }

    /// Lets an event in by its trigger's policy; returns those that are over because of it, maybe itself.
    pub(super) fn admit(&mut self, arrival: Waiting, shares: &QueueLimits) -> Vec<Over> {
        let Some(target) = self.targets.get(&arrival.trigger) else {
            return vec![(arrival, Outcome::Skipped(Skip::TriggerGone))];
        };
        let (mode, overflow) = (target.policy.mode, target.policy.overflow);
        // What is owed waits until it is through, unless the script says how many may wait.
        let most = if arrival.event.delivery.requires_ack() { usize::MAX } else { shares.queue };
        let max = match mode {
            Mode::Parallel => most,
            _ => target.policy.max.unwrap_or(most),
        };
        match mode {
            Mode::Single if self.is_taken(&arrival) => vec![(arrival, Outcome::Skipped(Skip::Busy))],
            Mode::Restart => self.restart(arrival, max, overflow, shares.queue),
            Mode::Parallel => {
                let line = self.beside.entry(arrival.trigger).or_default();
                enqueue(line, arrival, max, overflow, shares.queue)
            }
            Mode::Queued | Mode::Single => enqueue(&mut self.line, arrival, max, overflow, shares.queue),
        }
    }

    /// Takes the next event that may run now; `true`: in the script's line, `false`: beside it.
    pub(super) fn next(&mut self, shares: &QueueLimits) -> Option<(Waiting, bool)> {
        if self.paused_until.is_some() {
            return None;
        }
        if self.serial.is_none() {
            let free = |waiting: &Waiting| !self.resting.iter().any(|(_, resting)| resting.is_like(waiting));
            if let Some(at) = self.line.iter().position(free) {
                return self.line.remove(at).map(|waiting| (waiting, true));
            }
        }
        let (targets, running) = (&self.targets, &self.running);
        let has_room = |trigger: &TriggerId| {
            let max = targets.get(trigger).and_then(|target| target.policy.max).unwrap_or(shares.parallel);
            running.values().filter(|run| run.waiting.trigger == *trigger).count() < max
        };
        let (_, line) = self.beside.iter_mut().find(|(trigger, line)| !line.is_empty() && has_room(trigger))?;
        line.pop_front().map(|waiting| (waiting, false))
    }

    /// Puts an event that was taken by [`ScriptQueue::next`] back to where it was.
    pub(super) fn put_back(&mut self, waiting: Waiting, is_serial: bool) {
        let line = if is_serial { &mut self.line } else { self.beside.entry(waiting.trigger).or_default() };
        line.push_front(waiting);
    }

    /// Puts a failed event aside until it is tried again; events like it wait behind it, unless they are parallel.
    pub(super) fn rest(&mut self, waiting: Waiting, until: Timestamp) {
        self.resting.push((until, waiting));
    }

    /// Returns how many events wait to be tried again.
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Puts the events that are to be tried again now in front of the others.
    pub(super) fn wake(&mut self, now: Timestamp) {
        let (due, rest) = std::mem::take(&mut self.resting).into_iter().partition(|(due, _)| *due <= now);
        self.resting = rest;
        let due: Vec<(Timestamp, Waiting)> = due;
        for (_, waiting) in due.into_iter().rev() {
            let is_parallel =
                self.targets.get(&waiting.trigger).is_some_and(|target| target.policy.mode == Mode::Parallel);
            let line = if is_parallel { self.beside.entry(waiting.trigger).or_default() } else { &mut self.line };
            line.push_front(waiting);
        }
    }

    /// Gives each event that waits to an heir, if it has one: `heir` makes the event its, and returns the mode it runs in from now on.
    pub(super) fn hand_over(&mut self, heir: impl Fn(&mut Waiting) -> Option<Mode>) {
        let (line, beside) = (std::mem::take(&mut self.line), std::mem::take(&mut self.beside));
        let line = line.into_iter().map(|waiting| (waiting, false));
        for (mut waiting, was_beside) in line.chain(beside.into_values().flatten().map(|waiting| (waiting, true))) {
            let is_beside = heir(&mut waiting).map_or(was_beside, |mode| mode == Mode::Parallel);
            let line = if is_beside { self.beside.entry(waiting.trigger).or_default() } else { &mut self.line };
            line.push_back(waiting);
        }
        for (_, waiting) in &mut self.resting {
            heir(waiting);
        }
    }

    /// Takes out every event that waits and is not wanted any more.
    pub(super) fn take_waiting(&mut self, is_unwanted: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut sift = |line: &mut VecDeque<Waiting>| {
            let (out, stay) = std::mem::take(line).into_iter().partition(&is_unwanted);
            *line = stay;
            let out: VecDeque<Waiting> = out;
            taken.extend(out);
        };
        sift(&mut self.line);
        self.beside.values_mut().for_each(sift);
        let (out, stay): (Vec<_>, _) =
            std::mem::take(&mut self.resting).into_iter().partition(|(_, waiting)| is_unwanted(waiting));
        self.resting = stay;
        taken.extend(out.into_iter().map(|(_, waiting)| waiting));
        self.beside.retain(|_, line| !line.is_empty());
        taken
    }

    fn is_taken(&self, arrival: &Waiting) -> bool {
        let running = self.running.values().map(|run| &run.waiting);
        let resting = self.resting.iter().map(|(_, waiting)| waiting);
        running.chain(&self.line).chain(resting).any(|waiting| waiting.is_like(arrival))
    }

    fn restart(&mut self, arrival: Waiting, max: usize, overflow: Overflow, total: usize) -> Vec<Over> {
        let cancelled = self.running.values().filter(|run| run.waiting.is_like(&arrival));
        let was_running = cancelled.map(|run| run.cancel.cancel()).count() > 0;
        let place = if was_running { Some(0) } else { self.line.iter().position(|waiting| waiting.is_like(&arrival)) };
        let replaced = self.take_waiting(|waiting| waiting.is_like(&arrival));
        let mut over: Vec<Over> =
            replaced.into_iter().map(|waiting| (waiting, Outcome::Skipped(Skip::Replaced))).collect();
        match place {
            Some(place) if self.line.len() < total || arrival.event.delivery.requires_ack() => {
                self.line.insert(place, arrival)
            }
            _ => over.extend(enqueue(&mut self.line, arrival, max, overflow, total)),
        }
        over
    }
}

/// Puts an event at the end of a line that may be full: `max` events of its trigger, `total` of all that nobody is owed.
fn enqueue(line: &mut VecDeque<Waiting>, arrival: Waiting, max: usize, overflow: Overflow, total: usize) -> Vec<Over> {
    if overflow == Overflow::LatestPerKey
        && let Some(older) = line.iter_mut().find(|waiting| waiting.is_like(&arrival))
    {
        return vec![(std::mem::replace(older, arrival), Outcome::Skipped(Skip::Replaced))];
    }
    // Counted only where it matters: a long line is no reason for each arrival to look through it.
    let has_room = line.len() < max || line.iter().filter(|waiting| waiting.trigger == arrival.trigger).count() < max;
    let is_full = || line.iter().filter(|waiting| !waiting.event.delivery.requires_ack()).count() >= total;
    if has_room && (arrival.event.delivery.requires_ack() || line.len() < total || !is_full()) {
        line.push_back(arrival);
        return Vec::new();
    }
    if overflow == Overflow::DropNewest {
        return vec![(arrival, Outcome::Skipped(Skip::QueueFull))];
    }
    // A trigger that floods pushes out its own events first, and none that others are owed.
    let own = line.iter().position(|waiting| waiting.trigger == arrival.trigger);
    let oldest = own.or_else(|| line.iter().position(|waiting| !waiting.event.delivery.requires_ack())).unwrap_or(0);
    let dropped = line.remove(oldest);
    line.push_back(arrival);
    dropped.map(|waiting| (waiting, Outcome::Skipped(Skip::QueueFull))).into_iter().collect()
}
