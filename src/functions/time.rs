//! Moments, their parts and their distance; sleeping.

use std::str::FromStr as _;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use rhai::plugin::*;

use crate::functions::arguments::{duration, options, refused, rfc3339, value};
use crate::functions::{Package, Thrown, context, thrown};
use crate::services::clock::Clock;
use crate::services::sun::{Crossing, crossing};
use crate::value::Value;

/// Time.
pub const TIME: Package = Package {
    name: "Time",
    docs: "Moments in a time zone, their parts and their distance; sleeping.",
    register: |module| {
        module.set_custom_type::<Zoned>("datetime");
        combine_with_exported_module!(module, "time", functions);
    },
};

/// Reads a moment; what has no zone or offset is in the clock's zone, a time alone is today.
pub(super) fn parse_moment(text: &str, clock: &Clock) -> Result<Zoned, Thrown> {
    let wrong = || {
        let shown: String = text.chars().take(80).collect();
        refused(format!(
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
    let here = match (DateTime::from_str(text), Time::from_str(text)) {
        (Ok(here), _) => here,
        (_, Ok(time)) => clock.now_zoned().date().to_datetime(time),
        _ => return Err(wrong()),
    };
    here.to_zoned(clock.zone()).map_err(|_| wrong())
}

fn zone(name: &str) -> Result<TimeZone, Thrown> {
    TimeZone::get(name).map_err(|_| {
        let shown: String = name.chars().take(80).collect();
        refused(format!("{shown:?} is no time zone: write a name such as \"Europe/Oslo\" or \"UTC\""))
    })
}

fn since_epoch(seconds: f64) -> Result<Zoned, Thrown> {
    let context = context("datetime")?;
    let wrong = || refused(format!("{seconds} seconds since 1970 is no moment between the years -9999 and 9999"));
    let since = SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    let instant = Timestamp::from_duration(since).map_err(|_| wrong())?;
    Ok(instant.to_zoned(context.services.clock.zone()))
}

/// Returns a number of each calendar unit, out of a map such as `#{ months: 1, days: -3 }`.
fn span(written: &rhai::Map) -> Result<Span, Thrown> {
    let mut options = options(written)?;
    let mut span = Span::new();
    type Setter = fn(Span, i64) -> Result<Span, jiff::Error>;
    let units: [(&'static str, Setter); 7] = [
        ("years", Span::try_years),
        ("months", Span::try_months),
        ("weeks", Span::try_weeks),
        ("days", Span::try_days),
        ("hours", Span::try_hours),
        ("minutes", Span::try_minutes),
        ("seconds", Span::try_seconds),
    ];
    for (unit, set) in units {
        if let Some(count) = options.int(unit, i64::MIN..=i64::MAX).map_err(refused)? {
            span = set(span, count).map_err(refused)?;
        }
    }
    options.finish().map_err(refused)?;
    Ok(span)
}

fn moved(time: &Zoned, by: &Dynamic, back: bool) -> Result<Zoned, Thrown> {
    let moved = if let Some(map) = by.read_lock::<rhai::Map>() {
        let span = span(&map)?;
        if back { time.checked_sub(span) } else { time.checked_add(span) }
    } else {
        let duration = duration(by)?;
        if back { time.checked_sub(duration) } else { time.checked_add(duration) }
    };
    moved.map_err(|_| refused("that is before the beginning or after the end of time"))
}

/// Returns when the sun rises or sets on a day of the house: `()` if it does not.
fn sun(function: &str, edge: Crossing, day: Option<&Dynamic>) -> Result<Dynamic, Thrown> {
    let context = context(function)?;
    let place = context.config.location.ok_or_else(|| {
        thrown("no_location", format!("`{function}` needs to know where the house stands: set `location: {{ latitude: 59.91, longitude: 10.75 }}` in rhaid.yaml"))
    })?;
    let clock = &context.services.clock;
    let date = match day.map(value).transpose()? {
        None => clock.now_zoned().date(),
        Some(Value::Time(time)) => time.with_time_zone(clock.zone()).date(),
        Some(Value::Text(text)) => parse_moment(&text, clock)?.date(),
        Some(other) => {
            return Err(refused(format!(
                "a day is a datetime or text such as \"2026-03-01\", not {}",
                other.type_name()
            )));
        }
    };
    let moment = crossing(edge, date, place, &clock.zone());
    Ok(moment.map_or(Dynamic::UNIT, |moment| Dynamic::from(moment.to_zoned(clock.zone()))))
}

fn wait(duration: std::time::Duration) -> Result<(), Thrown> {
    let context = context("sleep")?;
    let after = SignedDuration::try_from(duration).map_err(refused)?;
    let clock = &context.services.clock;
    let end = clock.now().checked_add(after).map_err(|_| refused("that is after the end of time"))?;
    context.wait(clock.sleep_until(end))
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Returns the moment, in the zone of `rhaid.yaml` (default the system's) or in another one.
    ///
    /// # Example
    /// ```rhai
    /// let utc = now("UTC");
    /// assert_eq(utc.zone, "UTC");
    /// assert(now().since(utc) < 60.0);
    /// ```
    #[rhai_fn(name = "now", return_raw)]
    pub fn now() -> Result<Zoned, Thrown> {
        context("now").map(|context| context.services.clock.now_zoned())
    }

    #[rhai_fn(name = "now", return_raw)]
    pub fn now_in(timezone: &str) -> Result<Zoned, Thrown> {
        Ok(now()?.with_time_zone(zone(timezone)?))
    }

    /// Reads a moment from text, or from seconds since 1970.
    ///
    /// Text without an offset or zone is in the zone of `rhaid.yaml`; a time alone is today.
    ///
    /// # Example
    /// ```rhai
    /// let dinner = datetime("2026-03-01T19:30:00+01:00");
    /// assert_eq(dinner.hour, 19);
    /// assert_eq(dinner.timestamp, 1772389800);
    /// assert(datetime("2026-03-01 07:30") < datetime("2026-03-01 08:00"));
    /// assert(datetime(1772389800) == dinner);
    /// ```
    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime(text: &str) -> Result<Zoned, Thrown> {
        parse_moment(text, &context("datetime")?.services.clock)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_whole(seconds: i64) -> Result<Zoned, Thrown> {
        since_epoch(seconds as f64)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_float(seconds: f64) -> Result<Zoned, Thrown> {
        since_epoch(seconds)
    }

    /// The year.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 19:30").year, 2026);
    /// ```
    #[rhai_fn(get = "year", pure)]
    pub fn year(time: &mut Zoned) -> i64 {
        time.year().into()
    }

    /// The month, 1 to 12.
    #[rhai_fn(get = "month", pure)]
    pub fn month(time: &mut Zoned) -> i64 {
        time.month().into()
    }

    /// The day of the month, from 1.
    #[rhai_fn(get = "day", pure)]
    pub fn day(time: &mut Zoned) -> i64 {
        time.day().into()
    }

    /// The hour, 0 to 23.
    #[rhai_fn(get = "hour", pure)]
    pub fn hour(time: &mut Zoned) -> i64 {
        time.hour().into()
    }

    /// The minute, 0 to 59.
    #[rhai_fn(get = "minute", pure)]
    pub fn minute(time: &mut Zoned) -> i64 {
        time.minute().into()
    }

    /// The second, 0 to 59.
    #[rhai_fn(get = "second", pure)]
    pub fn second(time: &mut Zoned) -> i64 {
        time.second().into()
    }

    /// The millisecond, 0 to 999.
    #[rhai_fn(get = "millisecond", pure)]
    pub fn millisecond(time: &mut Zoned) -> i64 {
        time.millisecond().into()
    }

    /// The day of the week in English, such as `monday`.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01").weekday, "sunday");
    /// ```
    #[rhai_fn(get = "weekday", pure)]
    pub fn weekday(time: &mut Zoned) -> ImmutableString {
        match time.weekday() {
            jiff::civil::Weekday::Monday => "monday",
            jiff::civil::Weekday::Tuesday => "tuesday",
            jiff::civil::Weekday::Wednesday => "wednesday",
            jiff::civil::Weekday::Thursday => "thursday",
            jiff::civil::Weekday::Friday => "friday",
            jiff::civil::Weekday::Saturday => "saturday",
            jiff::civil::Weekday::Sunday => "sunday",
        }
        .into()
    }

    /// The day of the year, from 1.
    #[rhai_fn(get = "day_of_year", pure)]
    pub fn day_of_year(time: &mut Zoned) -> i64 {
        time.day_of_year().into()
    }

    /// Whole seconds since 1970-01-01 00:00 UTC.
    #[rhai_fn(get = "timestamp", pure)]
    pub fn timestamp(time: &mut Zoned) -> i64 {
        time.timestamp().as_second()
    }

    /// The date as text, such as `2026-03-01`.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 19:30").date, "2026-03-01");
    /// ```
    #[rhai_fn(get = "date", pure)]
    pub fn date(time: &mut Zoned) -> String {
        time.date().to_string()
    }

    /// The time of day as text, such as `19:30:00`.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 19:30").time, "19:30:00");
    /// ```
    #[rhai_fn(get = "time", pure)]
    pub fn time_of_day(time: &mut Zoned) -> String {
        time.strftime("%H:%M:%S").to_string()
    }

    /// The name of the time zone, such as `Europe/Oslo`, or the offset, such as `+01:00`.
    #[rhai_fn(get = "zone", pure)]
    pub fn zone_name(time: &mut Zoned) -> String {
        time.time_zone().iana_name().map_or_else(|| time.strftime("%:z").to_string(), str::to_owned)
    }

    /// Writes a moment in a form of `strftime`, such as `%Y-%m-%d %H:%M`.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 19:30").format("%d.%m.%Y, %H:%M"), "01.03.2026, 19:30");
    /// ```
    #[rhai_fn(name = "format", pure, return_raw)]
    pub fn format(time: &mut Zoned, form: &str) -> Result<String, Thrown> {
        if form.len() > 4_096 {
            return Err(refused("a form has at most 4096 bytes"));
        }
        jiff::fmt::strtime::format(form, &*time).map_err(|error| refused(format!("{form:?} is no form: {error}")))
    }

    /// Returns the moment later by a duration (a day is 24 hours), or by calendar units in the moment's zone.
    ///
    /// # Example
    /// ```rhai
    /// let noon = datetime("2026-01-31 12:00");
    /// assert_eq(noon.add("2h30m").time, "14:30:00");
    /// assert_eq(noon.add(#{ months: 1 }).date, "2026-02-28");
    /// ```
    #[rhai_fn(name = "add", pure, return_raw)]
    pub fn add(time: &mut Zoned, duration: Dynamic) -> Result<Zoned, Thrown> {
        moved(time, &duration, false)
    }

    /// Returns the moment earlier by a duration (a day is 24 hours), or by calendar units in the moment's zone.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 12:00").subtract("90m").time, "10:30:00");
    /// assert_eq(datetime("2026-03-01 12:00").subtract(#{ days: 1 }).date, "2026-02-28");
    /// ```
    #[rhai_fn(name = "subtract", pure, return_raw)]
    pub fn subtract(time: &mut Zoned, duration: Dynamic) -> Result<Zoned, Thrown> {
        moved(time, &duration, true)
    }

    /// Returns how many seconds a moment is after another one; negative if it is before.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 12:00").since(datetime("2026-03-01 11:59")), 60.0);
    /// ```
    #[rhai_fn(name = "since", pure)]
    pub fn since(time: &mut Zoned, other: Zoned) -> f64 {
        time.duration_since(&other).as_secs_f64()
    }

    /// Returns the same moment as clocks show it in another time zone.
    ///
    /// # Example
    /// ```rhai
    /// let meeting = datetime("2026-07-01T12:00:00Z").in_timezone("Europe/Oslo");
    /// assert_eq(meeting.time, "14:00:00");
    /// ```
    #[rhai_fn(name = "in_timezone", pure, return_raw)]
    pub fn in_timezone(time: &mut Zoned, timezone: &str) -> Result<Zoned, Thrown> {
        Ok(time.with_time_zone(zone(timezone)?))
    }

    /// Returns when the sun rises today, or on another day; `()` if it does not. Needs `location` in rhaid.yaml.
    ///
    /// # Example
    /// ```rhai
    /// let rise = sunrise("2026-03-01");
    /// assert(rise < sunset("2026-03-01"));
    /// assert_eq(rise.date, "2026-03-01");
    /// ```
    #[rhai_fn(name = "sunrise", return_raw)]
    pub fn sunrise() -> Result<Dynamic, Thrown> {
        sun("sunrise", Crossing::Rise, None)
    }

    #[rhai_fn(name = "sunrise", return_raw)]
    pub fn sunrise_on(date: Dynamic) -> Result<Dynamic, Thrown> {
        sun("sunrise", Crossing::Rise, Some(&date))
    }

    /// Returns when the sun sets today, or on another day; `()` if it does not. Needs `location` in rhaid.yaml.
    ///
    /// # Example
    /// ```rhai
    /// let dark = sunset().add("30m");
    /// assert(dark > sunset());
    /// ```
    #[rhai_fn(name = "sunset", return_raw)]
    pub fn sunset() -> Result<Dynamic, Thrown> {
        sun("sunset", Crossing::Set, None)
    }

    #[rhai_fn(name = "sunset", return_raw)]
    pub fn sunset_on(date: Dynamic) -> Result<Dynamic, Thrown> {
        sun("sunset", Crossing::Set, Some(&date))
    }

    /// Waits, for a duration such as `"5s"` or a number of seconds. Ends at once when the run is cancelled or its time is up.
    ///
    /// # Example
    /// ```rhai
    /// sleep("5ms");
    /// sleep(0.01);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep(duration: &str) -> Result<(), Thrown> {
        wait(crate::units::parse_duration(duration).map_err(refused)?)
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_whole(seconds: i64) -> Result<(), Thrown> {
        wait(duration(&seconds.into())?)
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_float(seconds: f64) -> Result<(), Thrown> {
        wait(duration(&seconds.into())?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(time: &mut Zoned) -> String {
        rfc3339(time)
    }

    #[rhai_fn(name = "==", pure)]
    pub fn equals(a: &mut Zoned, b: Zoned) -> bool {
        *a == b
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn differs(a: &mut Zoned, b: Zoned) -> bool {
        *a != b
    }

    #[rhai_fn(name = "<", pure)]
    pub fn is_before(a: &mut Zoned, b: Zoned) -> bool {
        *a < b
    }

    #[rhai_fn(name = "<=", pure)]
    pub fn is_not_after(a: &mut Zoned, b: Zoned) -> bool {
        *a <= b
    }

    #[rhai_fn(name = ">", pure)]
    pub fn is_after(a: &mut Zoned, b: Zoned) -> bool {
        *a > b
    }

    #[rhai_fn(name = ">=", pure)]
    pub fn is_not_before(a: &mut Zoned, b: Zoned) -> bool {
        *a >= b
    }
}
