//! Times; durations and sizes with units: `"1h30m"`, `"250ms"`, `"1MiB"`.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Parses a time with a zone, with an offset, or without both in a default zone.
///
/// # Errors
/// The reason, with the notation to use.
pub fn parse_time(text: &str, zone: &TimeZone) -> Result<Zoned, String> {
    let zoned = text.parse::<Zoned>().ok();
    let instant = || text.parse::<Timestamp>().ok().map(|time| time.to_zoned(zone.clone()));
    let local = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
    let wrong = || format!("write a time such as 2026-03-29T07:00 or 2026-03-29T07:00:00Z, not {text}");
    zoned.or_else(instant).or_else(local).ok_or_else(wrong)
}

/// Parses a duration: whole or decimal numbers with the units `ms`, `s`, `m`, `h`, `d` or `w`, largest first.
///
/// # Errors
/// A message with the expected form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is not a duration: write a number and a unit, such as \"250ms\", \"30s\", \"1h30m\" or \"2d\""
        )
    };
    let mut rest = text.trim();
    let (mut total, mut last_unit) = (0.0_f64, f64::INFINITY);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(wrong()),
        };
        if seconds >= last_unit {
            return Err(wrong());
        }
        last_unit = seconds;
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = after.trim_start();
    }
    from_seconds(total).ok_or_else(wrong)
}

/// Converts seconds to a duration, rounded to microseconds. Returns `None` if the number is negative, NaN or above 100 years.
pub fn from_seconds(seconds: f64) -> Option<Duration> {
    const CENTURY: f64 = 100.0 * 366.0 * 86_400.0;
    (0.0..=CENTURY).contains(&seconds).then(|| Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Formats a duration in the form of [`parse_duration`], with at most two units.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return match duration.as_micros() {
            0 => "0s".to_owned(),
            micros if micros < 1_000 => format!("{micros}µs"),
            _ => format!("{millis}ms"),
        };
    }
    let seconds = duration.as_secs();
    if seconds < 60 && !millis.is_multiple_of(1_000) {
        return format!("{}s", (millis / 100) as f64 / 10.0);
    }
    let units = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.concat()
}

/// Parses a size in bytes: a whole number, alone or with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.
///
/// # Errors
/// A message with the expected form.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: write a number and a unit, such as \"64KiB\" or \"10MiB\"");
    let trimmed = text.trim();
    let number_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(number_end);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// Formats a size in the form of [`parse_size`], with the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_with_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        for wrong in ["", "30", "s", "30x", "30m1h", "-1s", "1s1s", "99999999999w", "1..5s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn durations_are_shown_short() {
        assert_eq!(show_duration(Duration::from_millis(3)), "3ms");
        assert_eq!(show_duration(Duration::from_millis(1_540)), "1.5s");
        assert_eq!(show_duration(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(show_duration(Duration::from_secs(90_061)), "1d1h");
    }

    #[test]
    fn sizes_are_parsed_with_binary_and_decimal_units() {
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("10 kB"), Ok(10_000));
        assert_eq!(parse_size("512"), Ok(512));
        assert!(parse_size("1 MIB").is_err());
        assert!(parse_size("99999999999GiB").is_err());
        assert_eq!(show_size(1 << 20), "1MiB");
    }
}
