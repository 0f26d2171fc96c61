//! `at`: at times of day, by the clock or by the sun.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::options::{OptionFault, Options};
use crate::run::Policy;
use crate::services::Services;
use crate::services::sun::{self, Crossing};
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, one_argument};
use crate::triggers::local;
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

/// How many days are searched for a sunrise: longer than any polar night, to the next year's.
const YEAR: i32 = 400;

/// The furthest offset from the sun: beyond it, days would overtake each other.
const FURTHEST: SignedDuration = SignedDuration::from_hours(12);

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Moment {
    Clock(Time),
    Sun(Crossing, SignedDuration),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no moment: write a time such as \"07:30\" or \"07:30:15\", \"sunrise\", \"sunset-30m\" or \"sunrise+1h\""
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

    /// Returns the moment on a day, if it has one.
    fn on(self, day: Date, location: Option<(f64, f64)>, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Clock(time) => local::settle(day.to_datetime(time), zone).map(|moment| moment.timestamp()),
            Self::Sun(crossing, offset) => sun::crossing(crossing, day, location?, zone)?.checked_add(offset).ok(),
        }
    }
}

/// Reads `-30m`, `+1h` or nothing; none if it is neither, an error if it is too far.
fn parse_offset(text: &str) -> Option<Result<SignedDuration, String>> {
    let (negative, length) = match text.split_at_checked(1) {
        None => return Some(Ok(SignedDuration::ZERO)),
        Some(("+", length)) => (false, length),
        Some(("-", length)) => (true, length),
        Some(_) => return None,
    };
    let length = SignedDuration::try_from(parse_duration(length).ok()?).ok()?;
    if length > FURTHEST {
        return Some(Err(format!("write at most 12h from the sun, not {text}")));
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
        moments.push(Moment::parse(text).map_err(|why| OptionFault::new(format!("moment: {why}")))?);
        names.push(text.trim());
    }
    let timing = Timing::take(options, trigger_context)?.by_the_clock();
    let days = Days { moments, location: trigger_context.location, zone: timing.zone().clone() };
    days.check()?;
    Ok(Box::new(At { written: names.join(", "), days, timing }))
}

struct At {
    written: String,
    days: Days,
    timing: Timing,
}

impl Trigger for At {
    fn summary(&self) -> String {
        format!("at {}", self.written)
    }

    fn apply_policy(&mut self, policy: &Policy) -> bool {
        self.timing.apply_policy(policy)
    }

    fn watch(&self, fire: EventSender, services: &Services) -> Watch {
        let days = self.days.clone();
        tick::watch(self.summary(), self.timing.clone(), fire, services, |_| Box::new(days))
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

/// Days with their moments.
#[derive(Clone)]
struct Days {
    moments: Vec<Moment>,
    location: Option<(f64, f64)>,
    zone: TimeZone,
}

impl Days {
    fn check(&self) -> Result<(), OptionFault> {
        for moment in &self.moments {
            let Moment::Sun(_, offset) = moment else { continue };
            let Some((latitude, longitude)) = self.location else {
                return Err(OptionFault::new(
                    "sunrise and sunset need to know where: set `location: { latitude: 59.91, longitude: 10.75 }` in rhaid.yaml",
                ));
            };
            // Any year will do: the sun keeps to it.
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

    /// Returns the first of a moment after `after`, from a day on.
    fn first(&self, moment: Moment, from: Date, after: Timestamp) -> Option<Timestamp> {
        (0..YEAR).find_map(|days| {
            let day = from.checked_add(days.days()).ok()?;
            moment.on(day, self.location, &self.zone).filter(|found| *found > after)
        })
    }
}

impl Schedule for Days {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Two days back, for the sun with an offset may come on the day before or after its own.
        let from = after.to_zoned(self.zone.clone()).date().checked_sub(2.days()).ok()?;
        self.moments.iter().filter_map(|moment| self.first(*moment, from, after)).min()
    }
}

#[cfg(test)]
mod tests;
