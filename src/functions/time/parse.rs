//! Parsing of datetimes and time zones.

use std::str::FromStr as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::functions::phase::{Phase, context, phase};
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::services::clock::Clock;

/// Time zone and date of the script, the defaults for incomplete datetimes.
pub(in crate::functions) struct ZoneContext {
    pub(super) zone: TimeZone,
    /// `None` at the top level of a script.
    today: Option<Date>,
}

impl ZoneContext {
    /// Returns the zone and date of a clock.
    pub(in crate::functions) fn of(clock: &Clock) -> Self {
        Self { zone: clock.zone(), today: Some(clock.now_zoned().date()) }
    }

    /// Returns the current time on the clock of the script or test on this thread.
    pub(super) fn now(function: &str) -> Result<Zoned, Thrown> {
        match phase() {
            Phase::TestRun(test) => Ok(test.sandbox.clock().now_zoned()),
            _ => context(function).map(|context| context.services.clock.now_zoned()),
        }
    }

    /// Returns the zone and date of the script on this thread.
    pub(super) fn current(function: &str) -> Result<Self, Thrown> {
        match phase() {
            Phase::Loading(loading) => {
                let named = loading.config.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
                Ok(Self { zone: named.unwrap_or_else(TimeZone::system), today: None })
            }
            Phase::TestRun(test) => Ok(Self::of(&test.sandbox.clock())),
            _ => context(function).map(|context| Self::of(&context.services.clock)),
        }
    }
}

/// Parses a datetime. Text without a zone or offset is in the default zone; a time without a date is today.
pub(in crate::functions) fn parse_datetime(text: &str, defaults: &ZoneContext) -> Result<Zoned, Thrown> {
    let invalid = || {
        let shown: String = text.chars().take(80).collect();
        invalid_argument(format!(
            "{shown:?} is not a datetime: write \"2026-03-01 07:30\", \"2026-03-01T07:30:00+01:00\" or \"07:30\""
        ))
    };
    let text = text.trim();
    if text.len() > 256 {
        return Err(invalid());
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
    let shown = match (DateTime::from_str(text), Time::from_str(text), defaults.today) {
        (Ok(shown), _, _) => shown,
        (_, Ok(time), Some(today)) => today.to_datetime(time),
        _ => return Err(invalid()),
    };
    shown.to_zoned(defaults.zone.clone()).map_err(|_| invalid())
}

/// Returns a time zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<TimeZone, Thrown> {
    TimeZone::get(name).map_err(|_| {
        let shown: String = name.chars().take(80).collect();
        invalid_argument(format!("{shown:?} is not a time zone: write a name such as \"Europe/Oslo\" or \"UTC\""))
    })
}
