//! Times and durations, as commands print them.

use std::time::Duration;

use jiff::{Unit, Zoned};

use crate::units::show_duration;

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
    use jiff::tz::TimeZone;

    use super::*;
    use crate::units::parse_time;

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
