//! Properties and text formats of datetimes.

use jiff::Zoned;
use rhai::plugin::*;

use crate::functions::thrown::{Thrown, invalid_argument};
use crate::value::rfc3339;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "parts", functions);
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
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

    /// The day of the month, 1 to 31.
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

    /// The day of the year, 1 to 366.
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

    /// Formats the datetime with a `strftime` format such as `%Y-%m-%d %H:%M`.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(datetime("2026-03-01 19:30").format("%d.%m.%Y, %H:%M"), "01.03.2026, 19:30");
    /// ```
    #[rhai_fn(name = "format", pure, return_raw)]
    pub fn format(time: &mut Zoned, format: &str) -> Result<String, Thrown> {
        if format.len() > 4_096 {
            return Err(invalid_argument("a format can have at most 4096 bytes"));
        }
        jiff::fmt::strtime::format(format, &*time)
            .map_err(|error| invalid_argument(format!("{format:?} is not a valid format: {error}")))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(time: &mut Zoned) -> String {
        rfc3339(time)
    }
}
