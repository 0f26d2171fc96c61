//! Common part of `cron`, `every` and `at`: waits for the times of a schedule and handles missed ones.

mod timing;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp, Zoned};
use tracing::warn;

use self::timing::Missed;
pub(super) use self::timing::Timing;
use crate::event::{Event, Scheduled};
use crate::run::{Outcome, Skip};
use crate::services::Services;
use crate::services::clock::{ActivityGuard, Clock, Woken};
use crate::services::store::Store;
use crate::triggers::event_sender::{EventSender, PendingOutcome};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// Delay up to which a time counts as on time: a busy machine, a short stop.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// A clock that was set back by more than this was wrong before; the state from before is discarded.
const MAX_CORRECTION: SignedDuration = SignedDuration::from_hours(24);

/// Maximum number of missed times that are counted one by one.
const MAX_COUNTED: usize = 1_000;

/// Minimum interval between two writes of the last time to the store.
const SAVE_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// Schedule: a sequence of times.
pub(super) trait Schedule: Send + Sync {
    /// Returns the first time after `after`; `None` if there is none.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;

    /// Returns the number of times after `after` up to and including `now`, and the last of them.
    fn passed(&self, after: Timestamp, now: Timestamp) -> Option<(u64, Timestamp)> {
        let (mut count, mut last) = (0, after);
        while let Some(next) = self.next(last).filter(|next| *next <= now) {
            (count, last) = (count + 1, next);
            if count as usize >= MAX_COUNTED {
                // Far behind: continue at the last minute; the count becomes a lower bound.
                last = last.max(now - GRACE);
            }
        }
        (count > 0).then_some((count, last))
    }

    /// Handles a clock change; returns the time up to which all times count as handled.
    fn clock_set(&mut self, done: Timestamp, now: Timestamp) -> Timestamp {
        if done.duration_since(now) > MAX_CORRECTION { now } else { done }
    }
}

/// Watches a schedule, which is created from the time up to which all times count as handled.
pub(super) fn watch(
    summary: String,
    timing: Timing,
    sender: EventSender,
    services: &Services,
    schedule: impl FnOnce(Timestamp) -> Box<dyn Schedule>,
) -> Watch {
    let activity = services.clock.activity();
    let now = services.clock.now();
    let key = timing.is_kept().then(|| format!("last:{}:{summary} {}", sender.owner(), timing.zone_name()));
    let saved = key.as_deref().and_then(|key| services.store.metadata(key));
    let saved = saved.and_then(|saved| saved.as_text()?.parse::<Timestamp>().ok());
    let done = saved.filter(|saved| saved.duration_since(now) <= MAX_CORRECTION).unwrap_or(now);
    let mut ticker = Ticker {
        schedule: schedule(done),
        summary,
        timing,
        sender,
        clock: services.clock.clone(),
        store: services.store.clone(),
        activity,
        key,
        saved,
        done,
        ahead: None,
        unreported: 0,
        pending: FuturesUnordered::new(),
    };
    ticker.save();
    Watch::spawn(async move {
        if ticker.timing.missed == Missed::Skip {
            ticker.record_too_late(now);
        }
        ticker.run().await;
    })
}

/// Returns the payload of a tick that is due now.
pub(super) fn example(timing: &Timing, services: &Services) -> Map {
    let now = services.clock.now().to_zoned(timing.zone().clone());
    payload(now.clone(), now, 0)
}

fn payload(scheduled: Zoned, now: Zoned, missed: u64) -> Map {
    map_of([
        ("scheduled".into(), Value::Time(scheduled)),
        ("now".into(), Value::Time(now)),
        ("missed".into(), Value::Int(i64::try_from(missed).unwrap_or(i64::MAX))),
    ])
}

struct Ticker {
    schedule: Box<dyn Schedule>,
    summary: String,
    timing: Timing,
    sender: EventSender,
    clock: Clock,
    store: Store,
    activity: ActivityGuard,
    /// Metadata key of the last handled time, if it is stored.
    key: Option<String>,
    saved: Option<Timestamp>,
    /// All times up to here have fired or are missed.
    done: Timestamp,
    /// The next time and the one after it.
    ahead: Option<(Timestamp, Timestamp)>,
    /// Number of missed times since the last tick.
    unreported: u64,
    /// Ticks whose runs have not finished.
    pending: FuturesUnordered<BoxFuture<'static, FinishedTick>>,
}

/// Finished tick: outcome, number of missed times that it reported, and a guard that holds a manual clock until it is counted.
type FinishedTick = (Outcome, u64, ActivityGuard);

impl Ticker {
    async fn run(&mut self) {
        while let Some(due) = self.next() {
            // Computed before the wait, so that a thousand triggers with the same time fire together.
            self.ahead = self.schedule.next(due).map(|following| (due, following));
            if self.wait_until(due).await {
                // Boxed, so that the future of a waiting trigger stays small.
                Box::pin(self.take(due)).await;
            }
        }
        warn!(script = self.sender.owner(), trigger = %self.summary, "never fires again");
        self.activity.idle(std::future::pending::<()>()).await;
    }

    fn next(&self) -> Option<Timestamp> {
        match self.ahead {
            Some((due, following)) if due == self.done => Some(following),
            _ => self.schedule.next(self.done),
        }
    }

    /// Returns the number of times that have passed since the last handled one, and the newest.
    fn passed(&self, due: Timestamp, now: Timestamp) -> Option<(u64, Timestamp)> {
        match self.ahead {
            Some((known, following)) if known == due && due <= now && now < following => Some((1, due)),
            _ => self.schedule.passed(self.done, now),
        }
    }

    /// Waits until a time has come; returns false if the clock was set, so that another time may be due first.
    async fn wait_until(&mut self, due: Timestamp) -> bool {
        loop {
            let woken = tokio::select! {
                biased;
                Some(finished) = self.pending.next(), if !self.pending.is_empty() => {
                    self.count(&finished);
                    continue;
                }
                woken = self.activity.sleep(&self.clock, due) => woken,
            };
            let now = self.clock.now();
            match woken {
                Woken::Due => return true,
                Woken::Jumped => {
                    self.ahead = None;
                    self.done = self.schedule.clock_set(self.done, now);
                    return false;
                }
            }
        }
    }

    /// Handles the times that have come: the newest if it is on time, or as many as `missed` demands.
    async fn take(&mut self, due: Timestamp) {
        let now = self.clock.now();
        let is_made_up = |missed: Missed, late| missed != Missed::Skip && self.timing.is_within(late);
        if self.timing.missed == Missed::All {
            let late = now.duration_since(due);
            if late <= GRACE || is_made_up(Missed::All, late) {
                return self.tick(due).await;
            }
        } else if let Some((count, newest)) = self.passed(due, now) {
            let late = now.duration_since(newest);
            if late <= GRACE || is_made_up(self.timing.missed, late) {
                self.record_missed(count - 1, newest, Skip::Missed);
                return self.tick(newest).await;
            }
        }
        self.record_too_late(now);
    }

    /// Records the times that are too late to be made up for.
    fn record_too_late(&mut self, now: Timestamp) {
        let until = if self.timing.missed == Missed::All { self.timing.earliest(now).min(now - GRACE) } else { now };
        if let Some((count, last)) = self.schedule.passed(self.done, until) {
            self.done = last;
            self.record_missed(count, last, Skip::Missed);
            self.save();
        }
    }

    async fn tick(&mut self, mut moment: Timestamp) {
        self.done = moment;
        let mut due = moment;
        if let Some(delay) = self.timing.random_delay() {
            due = self.clock.now() + delay;
            self.activity.sleep_until(&self.clock, due).await;
        }
        if !self.timing.overlaps && self.wait_for_runs().await && self.timing.missed != Missed::All {
            // All times during the previous run become one tick.
            if let Some((count, newest)) = self.schedule.passed(moment, self.clock.now()) {
                self.record_missed(count, newest, Skip::Overrun);
                (moment, due) = (newest, newest);
                self.done = newest;
            }
        }
        let reported = std::mem::take(&mut self.unreported);
        let mut event = self.event(moment, reported);
        // A tick that is made up for is expected to be late.
        let is_in_time = event.at.duration_since(due) <= GRACE;
        event.delivery.scheduled = is_in_time.then_some(Scheduled { at: due, missed: reported });
        let pending = self.sender.ask(event);
        self.pending.push(Box::pin(finished(pending, reported)));
        self.save();
    }

    /// Waits until all runs of this trigger have finished; returns false if there were none.
    async fn wait_for_runs(&mut self) -> bool {
        let waited = !self.pending.is_empty();
        while !self.pending.is_empty() {
            if let Some(finished) = self.activity.idle(self.pending.next()).await {
                self.count(&finished);
            }
        }
        waited
    }

    fn event(&self, scheduled: Timestamp, missed: u64) -> Event {
        let zoned = |moment: Timestamp| moment.to_zoned(self.timing.zone().clone());
        let now = self.clock.now();
        let payload = payload(zoned(scheduled), zoned(now), missed);
        Event::new(now, self.summary.clone(), payload)
    }

    /// Records missed times, of which `last` is the newest.
    fn record_missed(&mut self, count: u64, last: Timestamp, why: Skip) {
        if count > 0 {
            self.unreported += count;
            let mut event = self.event(last, 0);
            if count > 1 {
                event.set_summary(format!("{} ({count} times)", event.summary()));
            }
            self.sender.skip(event, why);
        }
    }

    /// Counts a tick that was skipped, and the missed times that it would have reported.
    fn count(&mut self, (outcome, reported, _): &FinishedTick) {
        if let Outcome::Skipped(Skip::Busy | Skip::QueueFull | Skip::Replaced | Skip::RateLimited) = outcome {
            self.unreported += 1 + reported;
        }
    }

    fn save(&mut self) {
        let Some(key) = &self.key else { return };
        if self.saved.is_none_or(|saved| self.done.duration_since(saved).abs() >= SAVE_INTERVAL) {
            self.saved = Some(self.done);
            self.store.set_metadata(key, Some(self.done.to_string().into()));
        }
    }
}

async fn finished(pending: PendingOutcome, reported: u64) -> FinishedTick {
    let (outcome, activity) = pending.with_activity().await;
    (outcome, reported, activity)
}

#[cfg(test)]
mod tests;
