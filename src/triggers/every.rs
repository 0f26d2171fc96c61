//! `every`: at a fixed interval without drift.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::options::{self, OptionFault, Options};
use crate::run::Policy;
use crate::services::Services;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, one_argument};
use crate::triggers::tick::{self, Schedule, Timing};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::units::show_duration;
use crate::value::{Map, Value};

/// `every(interval, …)`.
pub const KIND: Kind = Kind {
    name: "every",
    arguments: &["interval"],
    event: "`tick`: `scheduled`, `now`, `missed`",
    docs: include_str!("every.md"),
    read,
    try_option: Some(TryOption::flag("every", "An interval has elapsed")),
};

const MIN_INTERVAL: Duration = Duration::from_millis(10);

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let interval = one_argument(arguments, "an interval such as \"30s\"")?;
    let interval = options::duration(&interval).map_err(|why| OptionFault::new(format!("interval: {why}")))?;
    if interval < MIN_INTERVAL {
        return Err(OptionFault::new(format!(
            "interval: {} is too short: write \"10ms\" or more",
            show_duration(interval)
        )));
    }
    let timing = Timing::take(options, trigger_context)?;
    if timing.jitter() > interval {
        return Err(OptionFault {
            option: Some("jitter".into()),
            message: format!("jitter: write at most the interval, \"{}\"", show_duration(interval)),
        });
    }
    Ok(Box::new(EveryTrigger { interval, timing }))
}

struct EveryTrigger {
    interval: Duration,
    timing: Timing,
}

impl Trigger for EveryTrigger {
    fn summary(&self) -> String {
        format!("every {}", show_duration(self.interval))
    }

    fn apply_policy(&mut self, policy: &Policy) -> bool {
        self.timing.apply_policy(policy)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let interval = SignedDuration::try_from(self.interval).expect("an interval is at most 100 years");
        tick::watch(self.summary(), self.timing.clone(), sender, services, |start| {
            Box::new(FixedInterval { start, interval })
        })
    }

    fn example(&self, _: &Map, services: &Services) -> Map {
        tick::example(&self.timing, services)
    }

    fn upcoming(&self, from: &Zoned, count: usize) -> Vec<Zoned> {
        std::iter::successors(Some(from.with_time_zone(self.timing.zone().clone())), |last| {
            last.checked_add(self.interval).ok()
        })
        .skip(1)
        .take(count)
        .collect()
    }
}

/// Interval counted from its start, so that it does not drift.
struct FixedInterval {
    start: Timestamp,
    interval: SignedDuration,
}

impl FixedInterval {
    /// Returns the number of intervals between the start and a time.
    fn intervals(&self, until: Timestamp) -> i128 {
        until.duration_since(self.start).as_nanos().div_euclid(self.interval.as_nanos())
    }

    fn at(&self, interval_number: i128) -> Option<Timestamp> {
        let since = SignedDuration::from_nanos_i128(interval_number.checked_mul(self.interval.as_nanos())?);
        self.start.checked_add(since).ok()
    }
}

impl Schedule for FixedInterval {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.at(self.intervals(after) + 1)
    }

    fn passed(&self, after: Timestamp, now: Timestamp) -> Option<(u64, Timestamp)> {
        let (done, last) = (self.intervals(after), self.intervals(now));
        let count = u64::try_from(last - done).ok().filter(|count| *count > 0)?;
        Some((count, self.at(last)?))
    }

    fn clock_set(&mut self, done: Timestamp, now: Timestamp) -> Timestamp {
        if now >= done {
            return done;
        }
        // The clock was set back: the interval continues from here instead of waiting for the old time.
        self.start = now;
        now
    }
}
