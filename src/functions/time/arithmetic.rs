//! Arithmetic, comparison and time zones of datetimes.

use jiff::{Span, Zoned};
use rhai::plugin::*;

use crate::functions::arguments::{duration, parse_options};
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::functions::time::parse::zone;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "arithmetic", functions);
}

/// Reads a span of calendar units from a map such as `#{ months: 1, days: -3 }`.
fn span(written: &rhai::Map) -> Result<Span, Thrown> {
    let mut options = parse_options(written)?;
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
        if let Some(count) = options.int(unit, i64::MIN..=i64::MAX).map_err(invalid_argument)? {
            span = set(span, count).map_err(invalid_argument)?;
        }
    }
    options.finish().map_err(invalid_argument)?;
    Ok(span)
}

fn shift(time: &Zoned, by: &Dynamic, back: bool) -> Result<Zoned, Thrown> {
    let shifted = if let Some(map) = by.read_lock::<rhai::Map>() {
        let span = span(&map)?;
        if back { time.checked_sub(span) } else { time.checked_add(span) }
    } else {
        let duration = duration(by)?;
        if back { time.checked_sub(duration) } else { time.checked_add(duration) }
    };
    shifted.map_err(|_| invalid_argument("the result is outside the years -9999 to 9999"))
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Returns the datetime plus a duration (a day is 24 hours), or plus calendar units in its time zone.
    ///
    /// # Example
    /// ```rhai
    /// let noon = datetime("2026-01-31 12:00");
    /// assert_eq(noon.add("2h30m").time, "14:30:00");
    /// assert_eq(noon.add(#{ months: 1 }).date, "2026-02-28");
    /// ```
    #[rhai_fn(name = "add", pure, return_raw)]
    pub fn add(time: &mut Zoned, duration: Dynamic) -> Result<Zoned, Thrown> {
        shift(time, &duration, false)
    }

    /// Returns the datetime minus a duration (a day is 24 hours), or minus calendar units in its time zone.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 12:00").subtract("90m").time, "10:30:00");
    /// assert_eq(datetime("2026-03-01 12:00").subtract(#{ days: 1 }).date, "2026-02-28");
    /// ```
    #[rhai_fn(name = "subtract", pure, return_raw)]
    pub fn subtract(time: &mut Zoned, duration: Dynamic) -> Result<Zoned, Thrown> {
        shift(time, &duration, true)
    }

    /// Returns the seconds from another datetime to this one; negative if this one is earlier. `later - earlier` does the same.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 12:00").since(datetime("2026-03-01 11:59")), 60.0);
    /// let began = now();
    /// assert(now() - began < 60.0);
    /// ```
    #[rhai_fn(name = "since", pure)]
    pub fn since(time: &mut Zoned, other: Zoned) -> f64 {
        time.duration_since(&other).as_secs_f64()
    }

    /// Returns the same instant in another time zone.
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

    #[rhai_fn(name = "-", pure)]
    pub fn minus(a: &mut Zoned, b: Zoned) -> f64 {
        since(a, b)
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
