//! Queue of one script: queued events, running events and pending retries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::model::{QueueLimits, RunId, Targets};
use super::rate_window::RateWindow;
use super::run_counter::RunCounter;
use crate::event::Event;
use crate::run::{Mode, Outcome, Overflow, Skip};
use crate::services::clock::{ActivityGuard, SuspendedActivity};
use crate::triggers::TriggerId;

/// Event that is queued, running or waiting for a retry.
#[derive(Debug)]
pub(crate) struct QueuedEvent {
    /// Trigger that sent it.
    pub(crate) trigger: TriggerId,
    /// The event.
    pub(crate) event: Arc<Event>,
    /// Value of the payload field that `key` of the policy names.
    pub(super) key: Option<String>,
    /// Holds a manual clock once the run starts. Not earlier, because the run before it may wait for the clock.
    pub(super) activity: Option<SuspendedActivity>,
    /// Receives the outcome.
    pub(super) reply: Option<oneshot::Sender<Outcome>>,
    /// Number of earlier attempts.
    pub(super) attempt: u32,
}

impl QueuedEvent {
    fn is_same_key(&self, other: &Self) -> bool {
        self.trigger == other.trigger && self.key == other.key
    }
}

/// Finished event with its outcome.
pub(super) type Finished = (QueuedEvent, Outcome);

/// Running event.
pub(super) struct Running {
    pub(super) queued: QueuedEvent,
    pub(super) cancel: CancellationToken,
    pub(super) activity: Option<ActivityGuard>,
}

/// Queue of one script.
pub(super) struct ScriptQueue<V> {
    pub(super) script: Arc<str>,
    pub(super) version: V,
    pub(super) targets: Targets,
    pub(super) running: BTreeMap<RunId, Running>,
    /// The serial run; all others belong to parallel triggers.
    pub(super) serial_run: Option<RunId>,
    /// Serial queue, in order of arrival.
    serial: VecDeque<QueuedEvent>,
    /// Queues of parallel triggers that have reached their limit of runs.
    parallel: BTreeMap<TriggerId, VecDeque<QueuedEvent>>,
    /// Retry queue: failed events with the time of their next attempt.
    retries: Vec<(Timestamp, QueuedEvent)>,
    pub(super) rates: BTreeMap<TriggerId, RateWindow>,
    pub(super) starts: RunCounter,
    /// Number of failures since the last success.
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
            serial_run: None,
            serial: VecDeque::new(),
            parallel: BTreeMap::new(),
            retries: Vec::new(),
            rates: BTreeMap::new(),
            starts: RunCounter::default(),
            failures: 0,
            paused_until: None,
            is_ready: false,
        }
    }

    /// Returns whether no event is queued or running; pending retries do not count.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.serial.is_empty() && self.parallel.values().all(VecDeque::is_empty)
    }

    /// Returns the number of queued events and pending retries.
    pub(super) fn queued(&self) -> usize {
        self.serial.len() + self.parallel.values().map(VecDeque::len).sum::<usize>() + self.retries.len()
    }

    /// Enqueues an event by its trigger's policy; returns the events that are finished by that, which may include the event itself.
    pub(super) fn admit(&mut self, incoming: QueuedEvent, limits: &QueueLimits) -> Vec<Finished> {
        let Some(target) = self.targets.get(&incoming.trigger) else {
            return vec![(incoming, Outcome::Skipped(Skip::TriggerGone))];
        };
        let (mode, overflow) = (target.policy.mode, target.policy.overflow);
        // Events that must be acknowledged are limited by the script's own options only.
        let most = if incoming.event.delivery.requires_ack() { usize::MAX } else { limits.queue };
        let max = match mode {
            Mode::Parallel => most,
            _ => target.policy.max.unwrap_or(most),
        };
        match mode {
            Mode::Single if self.is_busy(&incoming) => vec![(incoming, Outcome::Skipped(Skip::Busy))],
            Mode::Restart => self.restart(incoming, max, overflow, limits.queue),
            Mode::Parallel => {
                let queue = self.parallel.entry(incoming.trigger).or_default();
                enqueue(queue, incoming, max, overflow, limits.queue)
            }
            Mode::Queued | Mode::Single => enqueue(&mut self.serial, incoming, max, overflow, limits.queue),
        }
    }

    /// Takes the next event that may run now, and whether it is the serial run.
    pub(super) fn next(&mut self, limits: &QueueLimits) -> Option<(QueuedEvent, bool)> {
        if self.paused_until.is_some() {
            return None;
        }
        if self.serial_run.is_none()
            && let Some(queued) = self.next_serial()
        {
            return Some((queued, true));
        }
        let (targets, running) = (&self.targets, &self.running);
        let has_room = |trigger: &TriggerId| {
            let max = targets.get(trigger).and_then(|target| target.policy.max).unwrap_or(limits.parallel);
            running.values().filter(|run| run.queued.trigger == *trigger).count() < max
        };
        let (_, queue) = self.parallel.iter_mut().find(|(trigger, queue)| !queue.is_empty() && has_room(trigger))?;
        queue.pop_front().map(|queued| (queued, false))
    }

    /// Takes the next event of the serial queue, whether or not a serial run is active.
    pub(super) fn next_serial(&mut self) -> Option<QueuedEvent> {
        if self.paused_until.is_some() {
            return None;
        }
        let is_free = |queued: &QueuedEvent| !self.retries.iter().any(|(_, retry)| retry.is_same_key(queued));
        let at = self.serial.iter().position(is_free)?;
        self.serial.remove(at)
    }

    /// Puts an event that [`ScriptQueue::next`] returned back to the front of its queue.
    pub(super) fn put_back(&mut self, queued: QueuedEvent, is_serial: bool) {
        let queue = if is_serial { &mut self.serial } else { self.parallel.entry(queued.trigger).or_default() };
        queue.push_front(queued);
    }

    /// Adds a failed event to the retry queue. Serial events with the same key wait behind it.
    pub(super) fn add_retry(&mut self, queued: QueuedEvent, until: Timestamp) {
        self.retries.push((until, queued));
    }

    /// Returns the number of pending retries.
    pub(super) fn retries(&self) -> usize {
        self.retries.len()
    }

    /// Moves due retries to the front of their queues.
    pub(super) fn wake(&mut self, now: Timestamp) {
        let (due, later) = std::mem::take(&mut self.retries).into_iter().partition(|(due, _)| *due <= now);
        self.retries = later;
        let due: Vec<(Timestamp, QueuedEvent)> = due;
        for (_, queued) in due.into_iter().rev() {
            let is_parallel =
                self.targets.get(&queued.trigger).is_some_and(|target| target.policy.mode == Mode::Parallel);
            let queue = if is_parallel { self.parallel.entry(queued.trigger).or_default() } else { &mut self.serial };
            queue.push_front(queued);
        }
    }

    /// Reassigns queued events to triggers of a new version: `hand_over` changes the event and returns its new mode, or `None` if it stays.
    pub(super) fn hand_over(&mut self, hand_over: impl Fn(&mut QueuedEvent) -> Option<Mode>) {
        let (queue, parallel) = (std::mem::take(&mut self.serial), std::mem::take(&mut self.parallel));
        let queue = queue.into_iter().map(|queued| (queued, false));
        for (mut queued, was_parallel) in queue.chain(parallel.into_values().flatten().map(|queued| (queued, true))) {
            let is_parallel = hand_over(&mut queued).map_or(was_parallel, |mode| mode == Mode::Parallel);
            let queue = if is_parallel { self.parallel.entry(queued.trigger).or_default() } else { &mut self.serial };
            queue.push_back(queued);
        }
        for (_, queued) in &mut self.retries {
            hand_over(queued);
        }
    }

    /// Removes and returns the queued events that match.
    pub(super) fn take_queued(&mut self, is_unwanted: impl Fn(&QueuedEvent) -> bool) -> Vec<QueuedEvent> {
        let mut taken = Vec::new();
        let mut sift = |queue: &mut VecDeque<QueuedEvent>| {
            let (out, stay) = std::mem::take(queue).into_iter().partition(&is_unwanted);
            *queue = stay;
            let out: VecDeque<QueuedEvent> = out;
            taken.extend(out);
        };
        sift(&mut self.serial);
        self.parallel.values_mut().for_each(sift);
        let (out, stay): (Vec<_>, _) =
            std::mem::take(&mut self.retries).into_iter().partition(|(_, queued)| is_unwanted(queued));
        self.retries = stay;
        taken.extend(out.into_iter().map(|(_, queued)| queued));
        self.parallel.retain(|_, queue| !queue.is_empty());
        taken
    }

    fn is_busy(&self, incoming: &QueuedEvent) -> bool {
        let running = self.running.values().map(|run| &run.queued);
        let retries = self.retries.iter().map(|(_, queued)| queued);
        running.chain(&self.serial).chain(retries).any(|queued| queued.is_same_key(incoming))
    }

    fn restart(&mut self, incoming: QueuedEvent, max: usize, overflow: Overflow, total: usize) -> Vec<Finished> {
        let cancelled = self.running.values().filter(|run| run.queued.is_same_key(&incoming));
        let was_running = cancelled.map(|run| run.cancel.cancel()).count() > 0;
        let place =
            if was_running { Some(0) } else { self.serial.iter().position(|queued| queued.is_same_key(&incoming)) };
        let replaced = self.take_queued(|queued| queued.is_same_key(&incoming));
        let mut finished: Vec<Finished> =
            replaced.into_iter().map(|queued| (queued, Outcome::Skipped(Skip::Replaced))).collect();
        match place {
            Some(place) if self.serial.len() < total || incoming.event.delivery.requires_ack() => {
                self.serial.insert(place, incoming)
            }
            _ => finished.extend(enqueue(&mut self.serial, incoming, max, overflow, total)),
        }
        finished
    }
}

/// Appends an event to a queue with limits: `max` events of its trigger, and `total` events that need no acknowledgement.
fn enqueue(
    queue: &mut VecDeque<QueuedEvent>,
    incoming: QueuedEvent,
    max: usize,
    overflow: Overflow,
    total: usize,
) -> Vec<Finished> {
    if overflow == Overflow::LatestPerKey
        && let Some(older) = queue.iter_mut().find(|queued| queued.is_same_key(&incoming))
    {
        return vec![(std::mem::replace(older, incoming), Outcome::Skipped(Skip::Replaced))];
    }
    // The count is needed only in queues longer than `max`, so that arrivals do not scan long queues.
    let has_room = queue.len() < max || queue.iter().filter(|queued| queued.trigger == incoming.trigger).count() < max;
    let is_full = || queue.iter().filter(|queued| !queued.event.delivery.requires_ack()).count() >= total;
    if has_room && (incoming.event.delivery.requires_ack() || queue.len() < total || !is_full()) {
        queue.push_back(incoming);
        return Vec::new();
    }
    if overflow == Overflow::DropNewest {
        return vec![(incoming, Outcome::Skipped(Skip::QueueFull))];
    }
    // The oldest event of the same trigger is dropped first, so that a flooding trigger drops its own events, then one that needs no
    // acknowledgement.
    let own = queue.iter().position(|queued| queued.trigger == incoming.trigger);
    let oldest = own.or_else(|| queue.iter().position(|queued| !queued.event.delivery.requires_ack())).unwrap_or(0);
    let dropped = queue.remove(oldest);
    queue.push_back(incoming);
    dropped.map(|queued| (queued, Outcome::Skipped(Skip::QueueFull))).into_iter().collect()
}
