//! Moments that a script asks for: now, out of text, of the sun; and waiting for one.

use jiff::{SignedDuration, Timestamp, Zoned};
use rhai::plugin::*;

use crate::functions::act::DryRun;
use crate::functions::arguments::{duration, invalid_argument, value};
use crate::functions::time::{ZoneContext, parse_moment, zone};
use crate::functions::{Thrown, context, thrown};
use crate::services::sun::{Crossing, crossing};
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "moments", functions);
}

fn since_epoch(seconds: f64) -> Result<Zoned, Thrown> {
    let here = ZoneContext::on_this_thread("datetime")?;
    let wrong =
        || invalid_argument(format!("{seconds} seconds since 1970 is no moment between the years -9999 and 9999"));
    let since = SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    let instant = Timestamp::from_duration(since).map_err(|_| wrong())?;
    Ok(instant.to_zoned(here.zone))
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
        Some(Value::Text(text)) => parse_moment(&text, &ZoneContext::of(clock))?.date(),
        Some(other) => {
            return Err(invalid_argument(format!(
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
    let after = SignedDuration::try_from(duration).map_err(invalid_argument)?;
    let clock = &context.services.clock;
    let end = clock.now().checked_add(after).map_err(|_| invalid_argument("that is after the end of time"))?;
    let with = crate::units::show_duration(duration);
    context.act("sleep", with, DryRun::Gives(()), |_| context.sleep_until(end))
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
        ZoneContext::now("now")
    }

    #[rhai_fn(name = "now", return_raw)]
    pub fn now_in(timezone: &str) -> Result<Zoned, Thrown> {
        Ok(now()?.with_time_zone(zone(timezone)?))
    }

    /// Reads a moment from text, or from seconds since 1970.
    ///
    /// Text without an offset or zone is in the zone of `rhaid.yaml`; a time alone is today. Works at the top level too.
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
        parse_moment(text, &ZoneContext::on_this_thread("datetime")?)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_whole(seconds: i64) -> Result<Zoned, Thrown> {
        since_epoch(seconds as f64)
    }

    #[rhai_fn(name = "datetime", return_raw)]
    pub fn datetime_from_float(seconds: f64) -> Result<Zoned, Thrown> {
        since_epoch(seconds)
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
