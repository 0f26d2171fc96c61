//! `at`: daily, at times of day or at times of the sun.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::options::{OptionFault, Options};
use crate::run::Policy;
use crate::services::Services;
use crate::services::sun::{self, Crossing};
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, one_argument};
use crate::triggers::local_time;
use crate::triggers::tick::{self, Schedule, Timing};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::units::{parse_duration, show_duration};
use crate::value::{Map, Value};

/// `at(moment, …)`.
pub const KIND: Kind = Kind {
    name: "at",
    arguments: &["moment"],
    event: "`tick`: `scheduled`, `now`, `missed`",
    docs: include_str!("at.md"),
    read,
    try_option: None,
};

/// Number of days that are searched for a sunrise: more than any polar night lasts.
const MAX_DAYS: i32 = 400;

/// Maximum offset from the sun; larger ones could move a time past the next day's.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(12);

/// Time of day: of the clock, or of the sun with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TimeOfDay {
    Clock(Time),
    Sun(Crossing, SignedDuration),
}

impl TimeOfDay {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a valid time: write a time such as \"07:30\" or \"07:30:15\", \"sunrise\", \"sunset-30m\" or \"sunrise+1h\""
            )
        };
        let word = text.trim();
        for (name, crossing) in [("sunrise", Crossing::Rise), ("sunset", Crossing::Set)] {
            if let Some(offset) = word.strip_prefix(name) {
                return Ok(Self::Sun(crossing, parse_offset(offset.trim()).ok_or_else(wrong)??));
            }
        }
        let numbers: Option<Vec<i8>> = word
            .split(':')
            .map(|part| part.parse().ok().filter(|_| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())))
            .collect();
        let (hour, minute, second) = match numbers.as_deref() {
            Some([hour, minute]) => (*hour, *minute, 0),
            Some([hour, minute, second]) => (*hour, *minute, *second),
            _ => return Err(wrong()),
        };
        Time::new(hour, minute, second, 0).map(Self::Clock).map_err(|_| wrong())
    }

    /// Returns the time on a day; `None` if the sun does not cross the horizon.
    fn on(self, day: Date, location: Option<(f64, f64)>, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Clock(time) => local_time::resolve(day.to_datetime(time), zone).map(|moment| moment.timestamp()),
            Self::Sun(crossing, offset) => sun::crossing(crossing, day, location?, zone)?.checked_add(offset).ok(),
        }
    }
}

/// Parses `-30m`, `+1h` or an empty offset; `None` if malformed, an error if too large.
fn parse_offset(text: &str) -> Option<Result<SignedDuration, String>> {
    let (negative, length) = match text.split_at_checked(1) {
        None => return Some(Ok(SignedDuration::ZERO)),
        Some(("+", length)) => (false, length),
        Some(("-", length)) => (true, length),
        Some(_) => return None,
    };
    let length = SignedDuration::try_from(parse_duration(length).ok()?).ok()?;
    if length > MAX_OFFSET {
        return Some(Err(format!("write an offset of at most 12h, not {text}")));
    }
    Some(Ok(if negative { -length } else { length }))
}

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let written = match one_argument(arguments, "a moment such as \"07:30\" or \"sunset-30m\"")? {
        Value::List(items) if !items.is_empty() => items,
        single => vec![single],
    };
    let mut moments = Vec::new();
    let mut names = Vec::new();
    for value in &written {
        let Value::Text(text) = value else {
            return Err(OptionFault::new(format!("moment: write text such as \"07:30\", not {}", value.type_name())));
        };
        moments.push(TimeOfDay::parse(text).map_err(|why| OptionFault::new(format!("moment: {why}")))?);
        names.push(text.trim());
    }
    let timing = Timing::take(options, trigger_context)?.follows_clock();
    let days = DailySchedule { moments, location: trigger_context.location, zone: timing.zone().clone() };
    days.check()?;
    Ok(Box::new(AtTrigger { written: names.join(", "), days, timing }))
}

struct AtTrigger {
    written: String,
    days: DailySchedule,
    timing: Timing,
}

impl Trigger for AtTrigger {
    fn summary(&self) -> String {
        format!("at {}", self.written)
    }

    fn apply_policy(&mut self, policy: &Policy) -> bool {
        self.timing.apply_policy(policy)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let days = self.days.clone();
        tick::watch(self.summary(), self.timing.clone(), sender, services, |_| Box::new(days))
    }

    fn example(&self, _: &Map, services: &Services) -> Map {
        tick::example(&self.timing, services)
    }

    fn upcoming(&self, from: &Zoned, count: usize) -> Vec<Zoned> {
        std::iter::successors(self.days.next(from.timestamp()), |last| self.days.next(*last))
            .take(count)
            .map(|moment| moment.to_zoned(self.days.zone.clone()))
            .collect()
    }
}

/// Daily schedule.
#[derive(Clone)]
struct DailySchedule {
    moments: Vec<TimeOfDay>,
    location: Option<(f64, f64)>,
    zone: TimeZone,
}

impl DailySchedule {
    fn check(&self) -> Result<(), OptionFault> {
        for moment in &self.moments {
            let TimeOfDay::Sun(_, offset) = moment else { continue };
            let Some((latitude, longitude)) = self.location else {
                return Err(OptionFault::new(
                    "sunrise and sunset need your location: set `location: { latitude: 59.91, longitude: 10.75 }` in rhaid.yaml",
                ));
            };
            // Any year gives the same answer for the sun.
            let from = jiff::civil::date(2024, 1, 1);
            if self.first(*moment, from, Timestamp::MIN).is_none() {
                let offset = show_duration(offset.unsigned_abs());
                return Err(OptionFault::new(format!(
                    "never fires: the sun (offset {offset}) does not cross the horizon at {latitude}, {longitude}"
                )));
            }
        }
        Ok(())
    }

    /// Returns the first occurrence after `after`, on or after the day `from`.
    fn first(&self, moment: TimeOfDay, from: Date, after: Timestamp) -> Option<Timestamp> {
        (0..MAX_DAYS).find_map(|days| {
            let day = from.checked_add(days.days()).ok()?;
            moment.on(day, self.location, &self.zone).filter(|found| *found > after)
        })
    }
}

impl Schedule for DailySchedule {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Two days back, because a sun time with an offset may fall on the day before or after its own.
        let from = after.to_zoned(self.zone.clone()).date().checked_sub(2.days()).ok()?;
        self.moments.iter().filter_map(|moment| self.first(*moment, from, after)).min()
    }
}

#[cfg(test)]
mod tests;
