//! Decides which event runs when: a queue per script, the modes, retries, rates, the breaker and the cap over all.
//!
//! A machine without time, threads or channels of its own: it is told what happened and says what to do.

mod script_queue;
mod terms;
mod window;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub(crate) use self::script_queue::Waiting;
use self::script_queue::{Running, ScriptQueue};
use self::terms::Targets;
pub(crate) use self::terms::{Action, Answer, EventHandoff, QueueId, QueueLimits, RunId, Start, Target};
use crate::event::Event;
use crate::run::{Outcome, Policy, Skip};
use crate::services::clock::{ActivityGuard, SuspendedActivity};
use crate::triggers::{TriggerEvent, TriggerId};

/// How many hands an event may go through by `emit` before it counts as a loop.
const MAX_HOPS: u32 = 64;
/// The stretch of time in which the breaker counts runs.
const BREAKER_WINDOW: Duration = Duration::from_secs(10);
/// The longest wait before a retry.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(86_400);

/// Which event runs when; `V` is a version of a script.
pub(crate) struct Scheduler<V> {
    shares: QueueLimits,
    lanes: HashMap<QueueId, ScriptQueue<V>>,
    owners: HashMap<TriggerId, QueueId>,
    runs: HashMap<RunId, QueueId>,
    ready: VecDeque<QueueId>,
    alarms: BTreeSet<(Timestamp, QueueId)>,
    actions: Vec<Action<V>>,
    answers: Vec<Answer>,
    last_run: u64,
    is_stopping: bool,
}

impl<V: Clone> Scheduler<V> {
    pub(crate) fn new(shares: QueueLimits) -> Self {
        Self {
            shares,
            lanes: HashMap::new(),
            owners: HashMap::new(),
            runs: HashMap::new(),
            ready: VecDeque::new(),
            alarms: BTreeSet::new(),
            actions: Vec::new(),
            answers: Vec::new(),
            last_run: 0,
            is_stopping: false,
        }
    }

    /// Changes how much may wait and run; what waits already stays.
    pub(crate) fn share(&mut self, shares: QueueLimits) {
        self.shares = shares;
    }

    /// Puts a version in a lane's place: events of triggers that stay or have an heir go to it, others are skipped; closes the breaker.
    pub(crate) fn swap(
        &mut self,
        id: QueueId,
        script: Arc<str>,
        version: V,
        targets: Vec<(TriggerId, Target)>,
        heirs: &EventHandoff,
        skip: Skip,
    ) {
        let lane = self.lanes.entry(id).or_insert_with(|| ScriptQueue::new(script, version.clone()));
        let new: HashSet<TriggerId> = targets.iter().map(|(trigger, _)| *trigger).collect();
        let policies: HashMap<TriggerId, &Policy> = targets.iter().map(|(id, target)| (*id, &target.policy)).collect();
        lane.hand_over(|waiting| {
            let (trigger, event) =
                heirs(waiting.trigger, &waiting.event).filter(|_| !new.contains(&waiting.trigger))?;
            let policy = policies.get(&trigger)?;
            waiting.key = policy.key.as_deref().map(|path| key_of(&event, path));
            (waiting.trigger, waiting.event) = (trigger, Arc::new(event));
            Some(policy.mode)
        });
        let unwanted = lane.take_waiting(|waiting| !new.contains(&waiting.trigger));
        for waiting in unwanted {
            self.over(id, waiting, Outcome::Skipped(skip.clone()));
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        for gone in lane.targets.triggers().filter(|trigger| !new.contains(trigger)) {
            self.owners.remove(gone);
        }
        lane.rates.retain(|trigger, _| new.contains(trigger));
        self.owners.extend(new.iter().map(|trigger| (*trigger, id)));
        lane.version = version;
        lane.targets = Targets::new(targets);
        self.resume(id);
    }

    /// Cancels every run of one lane or of all.
    pub(crate) fn cancel(&mut self, id: Option<QueueId>) {
        let meant = self.lanes.iter().filter(|(lane, _)| id.is_none_or(|id| **lane == id));
        meant.flat_map(|(_, lane)| lane.running.values()).for_each(|run| run.cancel.cancel());
    }

    /// Forgets a lane; its runs are cancelled, its events skipped.
    pub(crate) fn remove(&mut self, id: QueueId, skip: Skip) {
        self.cancel(Some(id));
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        for waiting in lane.take_waiting(|_| true) {
            self.over(id, waiting, Outcome::Skipped(skip.clone()));
        }
        let Some(lane) = self.lanes.remove(&id) else { return };
        self.owners.retain(|_, owner| *owner != id);
        for (run, running) in lane.running {
            self.runs.remove(&run);
            self.answer(running.waiting, Outcome::Cancelled);
        }
    }

    /// Lets nothing in any more but for those triggers that a lane is swapped to afterwards, and tries nothing again.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Returns whether nothing runs or waits to run, in one lane or in all.
    pub(crate) fn is_idle(&self, id: Option<QueueId>) -> bool {
        match id {
            Some(id) => self.lanes.get(&id).is_none_or(ScriptQueue::is_idle),
            None => self.lanes.values().all(ScriptQueue::is_idle),
        }
    }

    /// Returns how many events of a lane wait, how many run, and until when it is paused.
    pub(crate) fn load(&self, id: QueueId) -> (usize, usize, Option<Timestamp>) {
        self.lanes.get(&id).map_or((0, 0, None), |lane| (lane.waiting(), lane.running.len(), lane.paused_until))
    }

    /// Takes an event in.
    pub(crate) fn arrive(&mut self, firing: TriggerEvent, now: Timestamp) {
        let TriggerEvent { trigger, event, reply, skip, activity } = firing;
        let owner = self.owners.get(&trigger).copied();
        let mut waiting = Waiting {
            trigger,
            event: Arc::new(event),
            key: None,
            reply,
            activity: Some(activity.suspend()),
            attempt: 0,
        };
        let Some((id, lane)) = owner.and_then(|id| Some((id, self.lanes.get_mut(&id)?))) else {
            let skip = if self.is_stopping { Skip::Stopping } else { Skip::TriggerGone };
            return self.answer(waiting, Outcome::Skipped(skip));
        };
        let Some(target) = lane.targets.get(&trigger) else { return };
        if let Some(why) = skip {
            return self.over(id, waiting, Outcome::Skipped(why));
        }
        waiting.key = target.policy.key.as_deref().map(|path| key_of(&waiting.event, path));
        let over_rate = target
            .policy
            .rate
            .is_some_and(|rate| !lane.rates.entry(trigger).or_default().admit(now, rate.count as usize, rate.per));
        if waiting.event.delivery.hops > MAX_HOPS && lane.paused_until.is_none() {
            let why = format!("an `emit` went through {MAX_HOPS} hands, so it wakes itself in a loop");
            self.pause(id, now, why);
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let over = if lane.paused_until.is_some() && !waiting.event.delivery.requires_ack() {
            vec![(waiting, Outcome::Skipped(Skip::BreakerOpen))]
        } else if over_rate {
            vec![(waiting, Outcome::Skipped(Skip::RateLimited))]
        } else {
            lane.admit(waiting, &self.shares)
        };
        for (waiting, outcome) in over {
            self.over(id, waiting, outcome);
        }
        self.mark_ready(id);
        self.pump(now);
    }

    /// Takes notice that a run's handler has returned, and only the disk is waited for: its script's line goes on.
    pub(crate) fn returned(&mut self, run: RunId, now: Timestamp) {
        let Some(id) = self.runs.get(&run).copied() else { return };
        if let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.serial == Some(run)) {
            lane.serial = None;
            self.mark_ready(id);
            self.pump(now);
        }
    }

    /// Takes notice of the end of a run: its event is tried again later, or over.
    pub(crate) fn ended(&mut self, run: RunId, outcome: Outcome, now: Timestamp) {
        let Some(id) = self.runs.remove(&run) else { return };
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(Running { waiting, activity, .. }) = lane.running.remove(&run) else { return };
        if lane.serial == Some(run) {
            lane.serial = None;
        }
        lane.failures = match &outcome {
            Outcome::Failed(_) | Outcome::TimedOut(_) => lane.failures + 1,
            Outcome::Succeeded(_) => 0,
            Outcome::Cancelled | Outcome::Skipped(_) => lane.failures,
        };
        let is_broken = lane.failures >= self.shares.failures && lane.paused_until.is_none();
        let retry = lane.targets.get(&waiting.trigger).and_then(|target| target.policy.retry);
        let retry = retry.filter(|retry| {
            outcome.is_failure()
                && waiting.attempt < retry.max
                && !self.is_stopping
                && (waiting.event.delivery.requires_ack() || (lane.paused_until.is_none() && !is_broken))
                && lane.resting() < self.shares.queue
        });
        match retry {
            Some(retry) => {
                let factor = retry.backoff.powi(waiting.attempt.min(1_000) as i32);
                let delay = Duration::try_from_secs_f64(retry.delay.as_secs_f64() * factor)
                    .unwrap_or(MAX_RETRY_DELAY)
                    .min(MAX_RETRY_DELAY);
                let due = now.checked_add(delay).unwrap_or(Timestamp::MAX);
                let activity = activity.map(ActivityGuard::suspend);
                lane.rest(Waiting { activity, attempt: waiting.attempt + 1, ..waiting }, due);
                self.alarms.insert((due, id));
            }
            None => {
                self.over(id, waiting, outcome);
                drop(activity);
            }
        }
        if is_broken {
            let why = format!("its last {} failed (`limits.failures`)", runs(self.shares.failures));
            self.pause(id, now, why);
        }
        self.mark_ready(id);
        self.pump(now);
    }

    /// Returns when [`Scheduler::wake`] has something to do.
    pub(crate) fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(due, _)| *due)
    }

    /// Tries again what is due, ends pauses that are over.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.alarms.first().copied().filter(|(due, _)| *due <= now) {
            self.alarms.remove(&(due, id));
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.wake(now);
            if lane.paused_until.is_some_and(|until| until <= now) {
                self.actions.push(Action::Resumed(lane.script.clone()));
                // One more failure is enough to pause it again.
                let failures = lane.failures.min(self.shares.failures - 1);
                self.resume(id);
                self.lanes.get_mut(&id).into_iter().for_each(|lane| lane.failures = failures);
            }
            self.mark_ready(id);
        }
        self.pump(now);
    }

    /// Takes what is to be done, and who is to be told how an event ended when that is done.
    pub(crate) fn take_actions(&mut self) -> (Vec<Action<V>>, Vec<Answer>) {
        (std::mem::take(&mut self.actions), std::mem::take(&mut self.answers))
    }

    /// Starts what may start, the scripts in turn.
    pub(crate) fn pump(&mut self, now: Timestamp) {
        while self.runs.len() < self.shares.runs
            && let Some(id) = self.ready.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.is_ready = false;
            let Some((waiting, is_serial)) = lane.next(&self.shares) else { continue };
            if lane.starts.admit(now, self.shares.breaker, BREAKER_WINDOW) {
                self.start(id, waiting, is_serial);
            } else {
                if waiting.event.delivery.requires_ack() {
                    lane.put_back(waiting, is_serial);
                } else {
                    self.over(id, waiting, Outcome::Skipped(Skip::BreakerOpen));
                }
                let why = format!("more than {} runs in 10 seconds (`limits.breaker`)", self.shares.breaker);
                self.pause(id, now, why);
            }
            self.mark_ready(id);
        }
    }

    fn start(&mut self, id: QueueId, mut waiting: Waiting, is_serial: bool) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(target) = lane.targets.get(&waiting.trigger).cloned() else {
            return self.over(id, waiting, Outcome::Skipped(Skip::TriggerGone));
        };
        self.last_run += 1;
        let run = RunId(self.last_run);
        let cancel = CancellationToken::new();
        self.actions.push(Action::Start(Start {
            run,
            script: lane.script.clone(),
            version: lane.version.clone(),
            target,
            event: waiting.event.clone(),
            cancel: cancel.clone(),
            attempt: waiting.attempt,
        }));
        lane.serial = if is_serial { Some(run) } else { lane.serial };
        let activity = waiting.activity.take().map(SuspendedActivity::resume);
        lane.running.insert(run, Running { waiting, cancel, activity });
        self.runs.insert(run, id);
    }

    fn mark_ready(&mut self, id: QueueId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && !std::mem::replace(&mut lane.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    fn pause(&mut self, id: QueueId, now: Timestamp, why: String) {
        let until = now.checked_add(self.shares.pause).unwrap_or(Timestamp::MAX);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.paused_until = Some(until);
        self.alarms.insert((until, id));
        self.actions.push(Action::Paused { script: lane.script.clone(), pause: self.shares.pause, why });
        for waiting in lane.take_waiting(|waiting| !waiting.event.delivery.requires_ack()) {
            self.over(id, waiting, Outcome::Skipped(Skip::BreakerOpen));
        }
    }

    /// Closes a lane's breaker.
    pub(crate) fn resume(&mut self, id: QueueId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.paused_until = None;
            lane.starts = window::Window::default();
            lane.failures = 0;
        }
        self.mark_ready(id);
    }

    /// Answers who asked, and has a skip noted.
    fn over(&mut self, id: QueueId, waiting: Waiting, outcome: Outcome) {
        if waiting.event.delivery.ack_after(&outcome, self.is_stopping).is_some() {
            self.actions.push(Action::Acknowledge(waiting.event.clone()));
        }
        if let (Outcome::Skipped(skip), Some(lane)) = (&outcome, self.lanes.get(&id)) {
            self.actions.push(Action::Skipped {
                script: lane.script.clone(),
                version: lane.version.clone(),
                trigger: lane.targets.get(&waiting.trigger).map_or_else(|| "".into(), |target| target.name.clone()),
                event: waiting.event.clone(),
                skip: skip.clone(),
            });
        }
        self.answer(waiting, outcome);
    }

    fn answer(&mut self, waiting: Waiting, outcome: Outcome) {
        self.answers.extend(waiting.reply.map(|reply| (reply, outcome)));
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
