//! The current time, datetimes from text, sunrise and sunset, and `sleep`.

use jiff::{SignedDuration, Timestamp, Zoned};
use rhai::plugin::*;

use crate::functions::arguments::{duration, value};
use crate::functions::effects::DryRun;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, invalid_argument, thrown};
use crate::functions::time::parse::{ZoneContext, parse_datetime, zone};
use crate::services::sun::{Crossing, crossing};
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "moments", functions);
}

fn since_epoch(seconds: f64) -> Result<Zoned, Thrown> {
    let defaults = ZoneContext::current("datetime")?;
    let out_of_range = || invalid_argument(format!("{seconds} seconds since 1970 is outside the years -9999 to 9999"));
    let since = SignedDuration::try_from_secs_f64(seconds).map_err(|_| out_of_range())?;
    let instant = Timestamp::from_duration(since).map_err(|_| out_of_range())?;
    Ok(instant.to_zoned(defaults.zone))
}

/// Returns the time of sunrise or sunset on a day at the configured location, or `()` if there is none.
fn sun(function: &str, edge: Crossing, day: Option<&Dynamic>) -> Result<Dynamic, Thrown> {
    let context = context(function)?;
    let place = context.config.location.ok_or_else(|| {
        thrown("no_location", format!("`{function}` needs your location: set `location: {{ latitude: 59.91, longitude: 10.75 }}` in rhaid.yaml"))
    })?;
    let clock = &context.services.clock;
    let date = match day.map(value).transpose()? {
        None => clock.now_zoned().date(),
        Some(Value::Time(time)) => time.with_time_zone(clock.zone()).date(),
        Some(Value::Text(text)) => parse_datetime(&text, &ZoneContext::of(clock))?.date(),
        Some(other) => {
            return Err(invalid_argument(format!(
                "write a day as a datetime or as text such as \"2026-03-01\", not {}",
                other.type_name()
            )));
        }
    };
    let moment = crossing(edge, date, place, &clock.zone());
    Ok(moment.map_or(Dynamic::UNIT, |moment| Dynamic::from(moment.to_zoned(clock.zone()))))
}

fn wait(duration: std::time::Duration) -> Result<(), Thrown> {
    let context = context("sleep")?;
    let after = SignedDuration::try_from(duration).map_err(invalid_argument)?;
    let clock = &context.services.clock;
    let end = clock.now().checked_add(after).map_err(|_| invalid_argument("the end is after the year 9999"))?;
    let details = crate::units::show_duration(duration);
    context.perform("sleep", details, DryRun::Return(()), |_| context.sleep_until(end))
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns the current time, in the time zone of `rhaid.yaml` (by default that of the system) or in another one.
    ///
    /// # Example
    /// ```rhai
    /// let utc = now("UTC");
    /// assert_eq(utc.zone, "UTC");
    /// assert(now().since(utc) < 60.0);
    /// ```
    #[rhai_fn(name = "now", return_raw)]
    pub fn now() -> Result<Zoned, Thrown> {
        ZoneContext::now("now")
    }

    #[rhai_fn(name = "now", return_raw)]
    pub fn now_in(timezone: &str) -> Result<Zoned, Thrown> {
        Ok(now()?.with_time_zone(zone(timezone)?))
    }

    /// Returns a datetime from text, or from seconds since 1970-01-01 00:00 UTC.
    ///
    /// Text without an offset or zone is in the time zone of `rhaid.yaml`; a time without a date is today. You can also use it at the top
    /// level.
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
        parse_datetime(text, &ZoneContext::current("datetime")?)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_whole(seconds: i64) -> Result<Zoned, Thrown> {
        since_epoch(seconds as f64)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_float(seconds: f64) -> Result<Zoned, Thrown> {
        since_epoch(seconds)
    }

    /// Returns the time of sunrise today or on another day, or `()` if the sun does not rise. Requires `location` in rhaid.yaml.
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

    /// Returns the time of sunset today or on another day, or `()` if the sun does not set. Requires `location` in rhaid.yaml.
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

    /// Waits for a duration such as `"5s"` or a number of seconds. The wait ends early when the run is cancelled or its deadline passes.
    ///
    /// # Example
    /// ```rhai
    /// sleep("5ms");
    /// sleep(0.01);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep(duration: &str) -> Result<(), Thrown> {
        wait(crate::units::parse_duration(duration).map_err(invalid_argument)?)
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_whole(seconds: i64) -> Result<(), Thrown> {
        wait(duration(&seconds.into())?)
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_float(seconds: f64) -> Result<(), Thrown> {
        wait(duration(&seconds.into())?)
    }
}
