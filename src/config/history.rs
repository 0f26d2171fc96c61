//! `history:`: the runs that the run history keeps, and its retention limits.

use std::time::Duration;

use super::section::Section;
use super::value_type::{self, DAY, GIB, HOUR, MIB};

/// The successful runs that the run history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptSuccesses {
    /// A sample of the quick ones of each trigger and second; the others are counted.
    Sample,
    /// All of them.
    All,
}

/// The runs that the run history keeps, and its retention limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The successful runs that are kept.
    pub success: KeptSuccesses,
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
        success: section.value(
            "success",
            "sample",
            "The successful runs that are recorded: sample (of runs up to 100 ms that change no state, timers or events and log no warning, at least the first of each trigger and second and at most 50; the others are counted), or all.",
            &value_type::keyword(&[("sample", KeptSuccesses::Sample), ("all", KeptSuccesses::All)]),
        ),
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
