//! Local times around clock changes.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Zoned};

/// Returns the time at which the local clock shows `time`: the first of two, or the end of the gap if it is skipped.
///
/// `None` outside of the calendar.
pub(super) fn resolve(time: DateTime, zone: &TimeZone) -> Option<Zoned> {
    let ambiguous = zone.to_ambiguous_zoned(time);
    if !matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return ambiguous.compatible().ok();
    }
    // The time before the gap, with the same distance to it as the skipped time has to its end.
    let before = ambiguous.earlier().ok()?;
    let gap = zone.following(before.timestamp()).next()?;
    Some(gap.timestamp().to_zoned(zone.clone()))
}

/// Returns the time without the fraction of a second.
pub(super) fn whole_second(moment: &Zoned) -> Zoned {
    let fraction =
        SignedDuration::from_nanos(i64::from(moment.timestamp().subsec_nanosecond()).rem_euclid(1_000_000_000));
    moment.checked_sub(fraction).unwrap_or_else(|_| moment.clone())
}
