//! `history:`: retention limits of the run history.

use std::time::Duration;

use super::section::Section;
use super::value_type::{self, DAY, GIB, HOUR, MIB};

/// Retention limits of the run history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The maximum number of run records.
    pub rows: u64,
    /// The approximate maximum size on disk, in bytes.
    pub disk: u64,
    /// The maximum age.
    pub age: Duration,
    /// The maximum stored payload of one event, in bytes.
    pub payload: u64,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_>) -> History {
    History {
        rows: section.value(
            "rows",
            "100000",
            "The maximum number of run records. Low-priority records and those of the most frequent outcomes are evicted first; failed runs are kept longest.",
            &value_type::integer(100..=100_000_000),
        ),
        disk: section.value("disk", "256MiB", "The approximate maximum size on disk.", &value_type::size(MIB, 1024 * GIB)),
        age: section.value("age", "30d", "The maximum age of a record.", &value_type::duration(HOUR, 3650 * DAY)),
        payload: section.value(
            "payload",
            "16KiB",
            "The maximum stored payload of an event; a longer payload is truncated and cannot be replayed.",
            &value_type::size(0, MIB),
        ),
    }
}
