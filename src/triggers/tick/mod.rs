//! What `cron`, `every` and `at` have in common: waiting for a schedule's moments, and what becomes of those that were missed.

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

/// How late a moment may be and still count as in time: a busy machine, a short stop.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// A clock that was set back further than this was wrong before: what it showed then is forgotten.
const CORRECTION: SignedDuration = SignedDuration::from_hours(24);

/// How many missed moments are counted one by one.
const COUNTED: usize = 1_000;

/// How often the last moment is put on disk at most.
const NOTED: SignedDuration = SignedDuration::from_secs(1);

/// The moments at which something is due.
pub(super) trait Schedule: Send + Sync {
    /// Returns the first moment after `after`; none if there is no more.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;

    /// Returns how many moments lie after `after` and not after `now`, and the last of them.
    fn passed(&self, after: Timestamp, now: Timestamp) -> Option<(u64, Timestamp)> {
        let (mut count, mut last) = (0, after);
        while let Some(next) = self.next(last).filter(|next| *next <= now) {
            (count, last) = (count + 1, next);
            if count as usize >= COUNTED {
                // Far behind: go on from the last minute, and let the count be a lower bound.
                last = last.max(now - GRACE);
            }
        }
        (count > 0).then_some((count, last))
    }

    /// Learns that the clock was set; returns up to which moment everything counts as done.
    fn jumped(&mut self, done: Timestamp, now: Timestamp) -> Timestamp {
        if done.duration_since(now) > CORRECTION { now } else { done }
    }
}

/// Watches a schedule that is made from the moment up to which everything counts as done.
pub(super) fn watch(
    summary: String,
    timing: Timing,
    fire: EventSender,
    services: &Services,
    schedule: impl FnOnce(Timestamp) -> Box<dyn Schedule>,
) -> Watch {
    let activity = services.clock.activity();
    let now = services.clock.now();
    let key = timing.is_kept().then(|| format!("last:{}:{summary} {}", fire.owner(), timing.zone_name()));
    let noted = key.as_deref().and_then(|key| services.store.metadata(key));
    let noted = noted.and_then(|noted| noted.as_text()?.parse::<Timestamp>().ok());
    let done = noted.filter(|noted| noted.duration_since(now) <= CORRECTION).unwrap_or(now);
    let mut ticker = Ticker {
        schedule: schedule(done),
        summary,
        timing,
        fire,
        clock: services.clock.clone(),
        store: services.store.clone(),
        activity,
        key,
        noted,
        done,
        ahead: None,
        untold: 0,
        pending: FuturesUnordered::new(),
    };
    ticker.note();
    Watch::spawn(async move {
        if ticker.timing.missed == Missed::Skip {
            ticker.give_up(now);
        }
        ticker.run().await;
    })
}

/// Returns the facts of a tick that is due now.
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
    fire: EventSender,
    clock: Clock,
    store: Store,
    activity: ActivityGuard,
    /// Where the last moment is kept over restarts, if it is.
    key: Option<String>,
    noted: Option<Timestamp>,
    /// Up to here every moment has fired or is missed for good.
    done: Timestamp,
    /// The moment that is waited for, and the one after it.
    ahead: Option<(Timestamp, Timestamp)>,
    /// How many moments came to nothing that the handler was not told of.
    untold: u64,
    /// Ticks whose runs have not ended.
    pending: FuturesUnordered<BoxFuture<'static, Ended>>,
}

/// How a tick ended, how many missed ones it told of, and a hold on the clock until that is counted.
type Ended = (Outcome, u64, ActivityGuard);

impl Ticker {
    async fn run(&mut self) {
        while let Some(due) = self.next() {
            // Found while there is time, so that a thousand that are due at once fire together.
            self.ahead = self.schedule.next(due).map(|following| (due, following));
            if self.wait_until(due).await {
                // Boxed, so that a trigger that waits, as most do, is small.
                Box::pin(self.take(due)).await;
            }
        }
        warn!(script = self.fire.owner(), trigger = %self.summary, "never fires again");
        self.activity.idle(std::future::pending::<()>()).await;
    }

    fn next(&self) -> Option<Timestamp> {
        match self.ahead {
            Some((due, following)) if due == self.done => Some(following),
            _ => self.schedule.next(self.done),
        }
    }

    /// Returns how many moments have come since the last that is done, and the newest.
    fn passed(&self, due: Timestamp, now: Timestamp) -> Option<(u64, Timestamp)> {
        match self.ahead {
            Some((known, following)) if known == due && due <= now && now < following => Some((1, due)),
            _ => self.schedule.passed(self.done, now),
        }
    }

    /// Waits until a moment has come; false if another may be due first, since the clock was set.
    async fn wait_until(&mut self, due: Timestamp) -> bool {
        loop {
            let woken = tokio::select! {
                biased;
                Some(ended) = self.pending.next(), if !self.pending.is_empty() => {
                    self.count(&ended);
                    continue;
                }
                woken = self.activity.sleep(&self.clock, due) => woken,
            };
            let now = self.clock.now();
            match woken {
                Woken::Due => return true,
                Woken::Jumped => {
                    self.ahead = None;
                    self.done = self.schedule.jumped(self.done, now);
                    return false;
                }
            }
        }
    }

    /// Takes up the moments that have come: the newest in time, or as many as the policy says.
    async fn take(&mut self, due: Timestamp) {
        let now = self.clock.now();
        let made_up = |missed: Missed, late| missed != Missed::Skip && self.timing.is_within(late);
        if self.timing.missed == Missed::All {
            let late = now.duration_since(due);
            if late <= GRACE || made_up(Missed::All, late) {
                return self.tick(due).await;
            }
        } else if let Some((count, newest)) = self.passed(due, now) {
            let late = now.duration_since(newest);
            if late <= GRACE || made_up(self.timing.missed, late) {
                self.lose(count - 1, newest, Skip::Missed);
                return self.tick(newest).await;
            }
        }
        self.give_up(now);
    }

    /// Lets the moments go that are too late to be made up for.
    fn give_up(&mut self, now: Timestamp) {
        let until = if self.timing.missed == Missed::All { self.timing.earliest(now).min(now - GRACE) } else { now };
        if let Some((count, last)) = self.schedule.passed(self.done, until) {
            self.done = last;
            self.lose(count, last, Skip::Missed);
            self.note();
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
            // What came due while the last run was going is one tick.
            if let Some((count, newest)) = self.schedule.passed(moment, self.clock.now()) {
                self.lose(count, newest, Skip::Overrun);
                (moment, due) = (newest, newest);
                self.done = newest;
            }
        }
        let told = std::mem::take(&mut self.untold);
        let mut event = self.event(moment, told);
        // One that is made up for is late on purpose.
        let is_in_time = event.at.timestamp().duration_since(due) <= GRACE;
        event.delivery.scheduled = is_in_time.then_some(Scheduled { at: due, missed: told });
        let pending = self.fire.ask(event);
        self.pending.push(Box::pin(ended(pending, told)));
        self.note();
    }

    /// Waits until all runs of this trigger have ended; false if there were none.
    async fn wait_for_runs(&mut self) -> bool {
        let waited = !self.pending.is_empty();
        while !self.pending.is_empty() {
            if let Some(ended) = self.activity.idle(self.pending.next()).await {
                self.count(&ended);
            }
        }
        waited
    }

    fn event(&self, scheduled: Timestamp, missed: u64) -> Event {
        let zoned = |moment: Timestamp| moment.to_zoned(self.timing.zone().clone());
        let now = zoned(self.clock.now());
        let payload = payload(zoned(scheduled), now.clone(), missed);
        Event::new(now, self.summary.clone(), payload)
    }

    /// Notes moments that come to nothing, of which this is the last.
    fn lose(&mut self, count: u64, last: Timestamp, why: Skip) {
        if count > 0 {
            self.untold += count;
            let mut event = self.event(last, 0);
            if count > 1 {
                event.summary = format!("{} ({count} times)", event.summary);
            }
            self.fire.skip(event, why);
        }
    }

    /// Takes back a tick that was skipped, and what it would have told.
    fn count(&mut self, (outcome, told, _): &Ended) {
        if let Outcome::Skipped(Skip::Busy | Skip::QueueFull | Skip::Replaced | Skip::RateLimited) = outcome {
            self.untold += 1 + told;
        }
    }

    fn note(&mut self) {
        let Some(key) = &self.key else { return };
        if self.noted.is_none_or(|noted| self.done.duration_since(noted).abs() >= NOTED) {
            self.noted = Some(self.done);
            self.store.set_metadata(key, Some(self.done.to_string().into()));
        }
    }
}

async fn ended(pending: PendingOutcome, told: u64) -> Ended {
    let (outcome, activity) = pending.with_activity().await;
    (outcome, told, activity)
}

#[cfg(test)]
mod tests;
