//! Scheduler: decides which event runs when. One queue per script, with modes, retries, rate limits, a circuit breaker and a limit on all runs.
//!
//! A state machine without clock, threads or channels: callers pass the time in, and carry the resulting actions out.

mod model;
mod rate_window;
mod run_counter;
mod script_queue;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::model::Targets;
pub(crate) use self::model::{Action, EventHandoff, OutcomeReply, QueueId, QueueLimits, RunId, RunRequest, Target};
use self::run_counter::RunCounter;
pub(crate) use self::script_queue::QueuedEvent;
use self::script_queue::{Running, ScriptQueue};
use crate::event::Event;
use crate::run::{Outcome, Policy, Skip};
use crate::services::clock::{ActivityGuard, SuspendedActivity};
use crate::triggers::{TriggerEvent, TriggerId};

/// Maximum number of `emit` hops of an event; more count as a loop.
const MAX_HOPS: u32 = 64;
/// Maximum delay of a retry.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(86_400);

/// Scheduler of all script queues; `V` is a version of a script.
pub(crate) struct Scheduler<V> {
    limits: QueueLimits,
    queues: AHashMap<QueueId, ScriptQueue<V>>,
    owners: AHashMap<TriggerId, QueueId>,
    runs: AHashMap<RunId, QueueId>,
    ready: VecDeque<QueueId>,
    wake_times: BTreeSet<(Timestamp, QueueId)>,
    actions: Vec<Action<V>>,
    replies: Vec<OutcomeReply>,
    last_run: u64,
    is_stopping: bool,
}

impl<V: Clone> Scheduler<V> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            queues: AHashMap::new(),
            owners: AHashMap::new(),
            runs: AHashMap::new(),
            ready: VecDeque::new(),
            wake_times: BTreeSet::new(),
            actions: Vec::new(),
            replies: Vec::new(),
            last_run: 0,
            is_stopping: false,
        }
    }

    /// Changes the limits; queued events stay queued.
    pub(crate) fn set_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
    }

    /// Installs a version in a queue and closes its circuit breaker. Events of triggers that stay, or that `handoff` assigns to a new trigger, stay
    /// queued; the others are skipped.
    pub(crate) fn swap(
        &mut self,
        id: QueueId,
        script: Arc<str>,
        version: V,
        targets: Vec<(TriggerId, Target)>,
        handoff: &EventHandoff,
        skip: Skip,
    ) {
        let queue = self.queues.entry(id).or_insert_with(|| ScriptQueue::new(script, version.clone()));
        let new: HashSet<TriggerId> = targets.iter().map(|(trigger, _)| *trigger).collect();
        let policies: AHashMap<TriggerId, &Policy> = targets.iter().map(|(id, target)| (*id, &target.policy)).collect();
        queue.hand_over(|queued| {
            let (trigger, event) = handoff(queued.trigger, &queued.event).filter(|_| !new.contains(&queued.trigger))?;
            let policy = policies.get(&trigger)?;
            queued.key = policy.key.as_deref().map(|path| key_of(&event, path));
            (queued.trigger, queued.event) = (trigger, Arc::new(event));
            Some(policy.mode)
        });
        let unwanted = queue.take_queued(|queued| !new.contains(&queued.trigger));
        for queued in unwanted {
            self.finish(id, queued, Outcome::Skipped(skip.clone()));
        }
        let Some(queue) = self.queues.get_mut(&id) else { return };
        for gone in queue.targets.triggers().filter(|trigger| !new.contains(trigger)) {
            self.owners.remove(gone);
        }
        queue.rates.retain(|trigger, _| new.contains(trigger));
        self.owners.extend(new.iter().map(|trigger| (*trigger, id)));
        queue.version = version;
        queue.targets = Targets::new(targets);
        self.resume(id);
    }

    /// Cancels the runs of one queue or of all queues.
    pub(crate) fn cancel(&mut self, id: Option<QueueId>) {
        let included = self.queues.iter().filter(|(queue, _)| id.is_none_or(|id| **queue == id));
        included.flat_map(|(_, queue)| queue.running.values()).for_each(|run| run.cancel.cancel());
    }

    /// Removes a queue; its runs are cancelled, its events skipped.
    pub(crate) fn remove(&mut self, id: QueueId, skip: Skip) {
        self.cancel(Some(id));
        let Some(queue) = self.queues.get_mut(&id) else { return };
        for queued in queue.take_queued(|_| true) {
            self.finish(id, queued, Outcome::Skipped(skip.clone()));
        }
        let Some(queue) = self.queues.remove(&id) else { return };
        self.owners.retain(|_, owner| *owner != id);
        for (run, running) in queue.running {
            self.runs.remove(&run);
            self.reply(running.queued, Outcome::Cancelled);
        }
    }

    /// Stops retries, and accepts events only from triggers of queues that are swapped afterwards.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Returns whether no event is queued or running, in one queue or in all; pending retries do not count.
    pub(crate) fn is_idle(&self, id: Option<QueueId>) -> bool {
        match id {
            Some(id) => self.queues.get(&id).is_none_or(ScriptQueue::is_idle),
            None => self.queues.values().all(ScriptQueue::is_idle),
        }
    }

    /// Returns the number of queued and of running events of a queue, and the end of its pause.
    pub(crate) fn load(&self, id: QueueId) -> (usize, usize, Option<Timestamp>) {
        self.queues.get(&id).map_or((0, 0, None), |queue| (queue.queued(), queue.running.len(), queue.paused_until))
    }

    /// Accepts an event.
    pub(crate) fn submit(&mut self, trigger_event: TriggerEvent, now: Timestamp) {
        let TriggerEvent { trigger, event, reply, skip, activity } = trigger_event;
        let owner = self.owners.get(&trigger).copied();
        let mut queued = QueuedEvent {
            trigger,
            event: Arc::new(event),
            key: None,
            reply,
            activity: Some(activity.suspend()),
            attempt: 0,
        };
        let Some((id, queue)) = owner.and_then(|id| Some((id, self.queues.get_mut(&id)?))) else {
            let outcome = Outcome::Skipped(if self.is_stopping { Skip::Stopping } else { Skip::TriggerGone });
            if queued.event.delivery.requires_ack() {
                self.settle(&queued.event, &outcome);
            }
            return self.reply(queued, outcome);
        };
        let Some(target) = queue.targets.get(&trigger) else { return };
        if let Some(reason) = skip {
            return self.finish(id, queued, Outcome::Skipped(reason));
        }
        queued.key = target.policy.key.as_deref().map(|path| key_of(&queued.event, path));
        let over_rate = target
            .policy
            .rate
            .is_some_and(|rate| !queue.rates.entry(trigger).or_default().admit(now, rate.count as usize, rate.per));
        if queued.event.delivery.hops > MAX_HOPS && queue.paused_until.is_none() {
            let reason = format!("an event passed through {MAX_HOPS} `emit` calls, which is a loop");
            self.pause(id, now, reason);
        }
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let finished = if queue.paused_until.is_some() && !queued.event.delivery.requires_ack() {
            vec![(queued, Outcome::Skipped(Skip::BreakerOpen))]
        } else if over_rate {
            vec![(queued, Outcome::Skipped(Skip::RateLimited))]
        } else {
            queue.admit(queued, &self.limits)
        };
        for (queued, outcome) in finished {
            self.finish(id, queued, outcome);
        }
        self.mark_ready(id);
        self.pump(now);
    }

    /// Handles the return of a run's handler before its pending writes are on disk: the next serial run may start.
    pub(crate) fn handler_returned(&mut self, run: RunId, now: Timestamp) {
        let Some(id) = self.runs.get(&run).copied() else { return };
        if let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.serial_run == Some(run)) {
            queue.serial_run = None;
            self.mark_ready(id);
            self.pump(now);
        }
    }

    /// Starts the next serial run of a queue before `run` is finished, so that both share a commit; `None` if no event waits or a limit is
    /// reached.
    pub(crate) fn following(&mut self, run: RunId, now: Timestamp) -> Option<RunRequest<V>> {
        let id = self.runs.get(&run).copied().filter(|_| self.runs.len() < self.limits.runs)?;
        let queue = self.queues.get_mut(&id).filter(|queue| queue.serial_run == Some(run))?;
        let queued = queue.next_serial()?;
        if !queue.starts.admit(now, self.limits.breaker) {
            // The queue is paused when this run is finished.
            queue.put_back(queued, true);
            return None;
        }
        self.start(id, queued, true)
    }

    /// Puts the event of a returned run back to the front of its queue, because its effects cannot be committed. The caller pumps after the
    /// last one.
    pub(crate) fn undone(&mut self, run: RunId) {
        let Some(id) = self.runs.remove(&run) else { return };
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let Some(Running { queued, activity, .. }) = queue.running.remove(&run) else { return };
        if queue.serial_run == Some(run) {
            queue.serial_run = None;
        }
        queue.put_back(QueuedEvent { activity: activity.map(ActivityGuard::suspend), ..queued }, true);
        self.mark_ready(id);
    }

    /// Handles the end of a run: its event is retried later, or finished.
    pub(crate) fn ended(&mut self, run: RunId, outcome: Outcome, now: Timestamp) {
        let Some(id) = self.runs.remove(&run) else { return };
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let Some(Running { queued, activity, .. }) = queue.running.remove(&run) else { return };
        if queue.serial_run == Some(run) {
            queue.serial_run = None;
        }
        queue.failures = match &outcome {
            Outcome::Failed(_) | Outcome::TimedOut(_) => queue.failures + 1,
            Outcome::Succeeded(_) => 0,
            Outcome::Cancelled | Outcome::Skipped(_) => queue.failures,
        };
        let is_broken = queue.failures >= self.limits.failures && queue.paused_until.is_none();
        let retry = queue.targets.get(&queued.trigger).and_then(|target| target.policy.retry);
        let retry = retry.filter(|retry| {
            outcome.is_failure()
                && queued.attempt < retry.max
                && !self.is_stopping
                && (queued.event.delivery.requires_ack() || (queue.paused_until.is_none() && !is_broken))
                && queue.retries() < self.limits.queue
        });
        match retry {
            Some(retry) => {
                let factor = retry.backoff.powi(queued.attempt.min(1_000) as i32);
                let delay = Duration::try_from_secs_f64(retry.delay.as_secs_f64() * factor)
                    .unwrap_or(MAX_RETRY_DELAY)
                    .min(MAX_RETRY_DELAY);
                let due = now.checked_add(delay).unwrap_or(Timestamp::MAX);
                let activity = activity.map(ActivityGuard::suspend);
                queue.add_retry(QueuedEvent { activity, attempt: queued.attempt + 1, ..queued }, due);
                self.wake_times.insert((due, id));
            }
            None => {
                self.finish(id, queued, outcome);
                drop(activity);
            }
        }
        if is_broken {
            let reason = format!("its last {} failed (`limits.failures`)", runs(self.limits.failures));
            self.pause(id, now, reason);
        }
        self.mark_ready(id);
        self.pump(now);
    }

    /// Returns the time at which [`Scheduler::wake`] must be called.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.wake_times.first().map(|(due, _)| *due)
    }

    /// Enqueues due retries again and ends expired pauses.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.wake_times.first().copied().filter(|(due, _)| *due <= now) {
            self.wake_times.remove(&(due, id));
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            queue.wake(now);
            if queue.paused_until.is_some_and(|until| until <= now) {
                self.actions.push(Action::Resumed(queue.script.clone()));
                // One more failure opens the breaker again.
                let failures = queue.failures.min(self.limits.failures - 1);
                self.resume(id);
                self.queues.get_mut(&id).into_iter().for_each(|queue| queue.failures = failures);
            }
            self.mark_ready(id);
        }
        self.pump(now);
    }

    /// Takes the pending actions, and the replies to send after them.
    pub(crate) fn take_actions(&mut self) -> (Vec<Action<V>>, Vec<OutcomeReply>) {
        (std::mem::take(&mut self.actions), std::mem::take(&mut self.replies))
    }

    /// Starts runs up to the limit, taking the ready queues in turn.
    pub(crate) fn pump(&mut self, now: Timestamp) {
        while self.runs.len() < self.limits.runs
            && let Some(id) = self.ready.pop_front()
        {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            queue.is_ready = false;
            let Some((queued, is_serial)) = queue.next(&self.limits) else { continue };
            if queue.starts.admit(now, self.limits.breaker) {
                let start = self.start(id, queued, is_serial);
                self.actions.extend(start.map(Action::RunRequest));
            } else {
                if queued.event.delivery.requires_ack() {
                    queue.put_back(queued, is_serial);
                } else {
                    self.finish(id, queued, Outcome::Skipped(Skip::BreakerOpen));
                }
                let reason = format!("more than {} runs in 10 seconds (`limits.breaker`)", self.limits.breaker);
                self.pause(id, now, reason);
            }
            self.mark_ready(id);
        }
    }

    fn start(&mut self, id: QueueId, mut queued: QueuedEvent, is_serial: bool) -> Option<RunRequest<V>> {
        let queue = self.queues.get_mut(&id)?;
        let Some(target) = queue.targets.get(&queued.trigger).cloned() else {
            self.finish(id, queued, Outcome::Skipped(Skip::TriggerGone));
            return None;
        };
        self.last_run += 1;
        let run = RunId(self.last_run);
        let cancel = CancellationToken::new();
        let request = RunRequest {
            run,
            script: queue.script.clone(),
            version: queue.version.clone(),
            target,
            event: queued.event.clone(),
            cancel: cancel.clone(),
            attempt: queued.attempt,
        };
        queue.serial_run = if is_serial { Some(run) } else { queue.serial_run };
        let activity = queued.activity.take().map(SuspendedActivity::resume);
        queue.running.insert(run, Running { queued, cancel, activity });
        self.runs.insert(run, id);
        Some(request)
    }

    fn mark_ready(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id)
            && !std::mem::replace(&mut queue.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    fn pause(&mut self, id: QueueId, now: Timestamp, reason: String) {
        let until = now.checked_add(self.limits.pause).unwrap_or(Timestamp::MAX);
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.paused_until = Some(until);
        self.wake_times.insert((until, id));
        self.actions.push(Action::Paused { script: queue.script.clone(), pause: self.limits.pause, reason });
        for queued in queue.take_queued(|queued| !queued.event.delivery.requires_ack()) {
            self.finish(id, queued, Outcome::Skipped(Skip::BreakerOpen));
        }
    }

    /// Closes the circuit breaker of a queue.
    pub(crate) fn resume(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.paused_until = None;
            queue.starts = RunCounter::default();
            queue.failures = 0;
        }
        self.mark_ready(id);
    }

    /// Finishes an event: settles it with its source if that is due, records a skip, and replies.
    fn finish(&mut self, id: QueueId, queued: QueuedEvent, outcome: Outcome) {
        self.settle(&queued.event, &outcome);
        if let (Outcome::Skipped(skip), Some(queue)) = (&outcome, self.queues.get(&id)) {
            self.actions.push(Action::Skipped {
                script: queue.script.clone(),
                version: queue.version.clone(),
                trigger: queue.targets.get(&queued.trigger).map_or_else(|| "".into(), |target| target.name.clone()),
                event: queued.event.clone(),
                skip: skip.clone(),
            });
        }
        self.reply(queued, outcome);
    }

    fn settle(&mut self, event: &Arc<Event>, outcome: &Outcome) {
        if let Some(settlement) = event.delivery.settlement(outcome, self.is_stopping) {
            self.actions.push(Action::Settle(event.clone(), settlement));
        }
    }

    fn reply(&mut self, queued: QueuedEvent, outcome: Outcome) {
        self.replies.extend(queued.reply.map(|reply| (reply, outcome)));
    }
}

fn runs(count: usize) -> String {
    if count == 1 { "run".to_owned() } else { format!("{count} runs") }
}

fn key_of(event: &Event, path: &str) -> String {
    event.fact(path).map_or_else(String::new, |value| match value.as_text() {
        Some(text) => text.to_owned(),
        None => value.to_stored().to_string(),
    })
}

#[cfg(test)]
mod tests;
