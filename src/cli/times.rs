//! Times and durations, as commands read and print them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};

use crate::units::show_duration;

/// Parses a time with a zone, with an offset, or without both in a default zone.
///
/// # Errors
/// The reason, with the notation to use.
pub(super) fn parse_time(text: &str, zone: &TimeZone) -> Result<Zoned, String> {
    let zoned = text.parse::<Zoned>().ok();
    let instant = || text.parse::<Timestamp>().ok().map(|time| time.to_zoned(zone.clone()));
    let local = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
    let wrong = || format!("write a time such as 2026-03-29T07:00 or 2026-03-29T07:00:00Z, not {text}");
    zoned.or_else(instant).or_else(local).ok_or_else(wrong)
}

/// Returns a time as in RFC 3339, rounded to milliseconds.
pub(super) fn rfc3339(time: &Zoned) -> String {
    let timestamp = time.timestamp();
    // Only the last half millisecond of the year 9999 cannot be rounded.
    timestamp.round(Unit::Millisecond).unwrap_or(timestamp).display_with_offset(time.offset()).to_string()
}

/// Returns the time from now to a later time, as `in 5m`.
pub(super) fn distance(now: &Zoned, time: &Zoned) -> String {
    let seconds = time.timestamp().as_second().saturating_sub(now.timestamp().as_second()).unsigned_abs();
    format!("in {}", show_duration(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_parsed_with_and_without_a_zone() {
        let zone = TimeZone::get("Europe/Oslo").unwrap();
        let shown = |text| rfc3339(&parse_time(text, &zone).unwrap());
        assert_eq!(shown("2027-01-31T12:00:00Z"), "2027-01-31T13:00:00+01:00");
        assert_eq!(shown("2027-01-31T12:00:00"), "2027-01-31T12:00:00+01:00");
        assert_eq!(shown("2027-01-31"), "2027-01-31T00:00:00+01:00");
        assert!(parse_time("tomorrow", &zone).unwrap_err().contains("not tomorrow"));
    }
}
