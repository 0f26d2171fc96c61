//! Times of day where the clock is changed.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Zoned};

/// Returns the moment at which a clock on the wall shows a time: the first of two, and the end of the gap if it shows it never.
///
/// None outside the calendar.
pub(super) fn settle(time: DateTime, zone: &TimeZone) -> Option<Zoned> {
    let ambiguous = zone.to_ambiguous_zoned(time);
    if !matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return ambiguous.compatible().ok();
    }
    // The moment before the gap that lies as far before the skipped time as the gap is long.
    let before = ambiguous.earlier().ok()?;
    let gap = zone.following(before.timestamp()).next()?;
    Some(gap.timestamp().to_zoned(zone.clone()))
}

/// Returns the moment without its fraction of a second.
pub(super) fn whole_second(moment: &Zoned) -> Zoned {
    let fraction =
        SignedDuration::from_nanos(i64::from(moment.timestamp().subsec_nanosecond()).rem_euclid(1_000_000_000));
    moment.checked_sub(fraction).unwrap_or_else(|_| moment.clone())
}
