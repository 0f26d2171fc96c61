//! Moments, their parts and their distance; sleeping.

mod distance;
mod moments;
mod parts;

use std::str::FromStr as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::functions::arguments::invalid_argument;
use crate::functions::{Package, Phase, Thrown, context, phase};
use crate::services::clock::Clock;

/// Time.
pub const TIME: Package = Package {
    name: "Time",
    docs: "Moments in a time zone, their parts and their distance; sleeping.",
    register: |module| {
        module.set_custom_type::<Zoned>("datetime");
        moments::register(module);
        parts::register(module);
        distance::register(module);
    },
};

/// Where and when a script runs.
pub(super) struct ZoneContext {
    zone: TimeZone,
    /// Nothing while the top level of a script declares.
    today: Option<Date>,
}

impl ZoneContext {
    /// Returns where and when a run is.
    pub(super) fn of(clock: &Clock) -> Self {
        Self { zone: clock.zone(), today: Some(clock.now_zoned().date()) }
    }

    /// Returns what the clock shows that the script or the test on this thread goes by.
    pub(super) fn now(function: &str) -> Result<Zoned, Thrown> {
        match phase() {
            Phase::TestRun(testing) => Ok(testing.sandbox.clock().now_zoned()),
            _ => context(function).map(|context| context.services.clock.now_zoned()),
        }
    }

    /// Returns where the script on this thread runs, or is loaded.
    fn on_this_thread(function: &str) -> Result<Self, Thrown> {
        match phase() {
            Phase::Loading(loading) => {
                let named = loading.config.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
                Ok(Self { zone: named.unwrap_or_else(TimeZone::system), today: None })
            }
            Phase::TestRun(testing) => Ok(Self::of(&testing.sandbox.clock())),
            _ => context(function).map(|context| Self::of(&context.services.clock)),
        }
    }
}

/// Reads a moment; what has no zone or offset is in the zone here, a time alone is today.
pub(super) fn parse_moment(text: &str, here: &ZoneContext) -> Result<Zoned, Thrown> {
    let wrong = || {
        let shown: String = text.chars().take(80).collect();
        invalid_argument(format!(
            "{shown:?} is no moment: write \"2026-03-01 07:30\", \"2026-03-01T07:30:00+01:00\" or \"07:30\""
        ))
    };
    let text = text.trim();
    if text.len() > 256 {
        return Err(wrong());
    }
    if let Ok(time) = Zoned::from_str(text) {
        return Ok(time);
    }
    if let Ok(pieces) = jiff::fmt::temporal::Pieces::parse(text)
        && let Some(offset) = pieces.to_numeric_offset()
        && let Ok(instant) = Timestamp::from_str(text)
    {
        return Ok(instant.to_zoned(TimeZone::fixed(offset)));
    }
    if let Ok(instant) = Timestamp::from_str(text) {
        return Ok(instant.to_zoned(TimeZone::UTC));
    }
    let shown = match (DateTime::from_str(text), Time::from_str(text), here.today) {
        (Ok(shown), _, _) => shown,
        (_, Ok(time), Some(today)) => today.to_datetime(time),
        _ => return Err(wrong()),
    };
    shown.to_zoned(here.zone.clone()).map_err(|_| wrong())
}

fn zone(name: &str) -> Result<TimeZone, Thrown> {
    TimeZone::get(name).map_err(|_| {
        let shown: String = name.chars().take(80).collect();
        invalid_argument(format!("{shown:?} is no time zone: write a name such as \"Europe/Oslo\" or \"UTC\""))
    })
}
