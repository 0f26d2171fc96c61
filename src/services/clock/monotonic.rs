//! Time since 1970 that is not set back.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::services::clock::handle::Clock;
use crate::services::clock::manual::ManualClock;

impl Clock {
    /// Returns a clock that starts at the current moment and ignores that the system clock is set; it follows a manual clock.
    pub fn monotonic(&self) -> MonotonicClock {
        MonotonicClock(match self.manual_clock() {
            Some(clock) => MonotonicSource::Manual(Arc::clone(clock)),
            None => MonotonicSource::System(Instant::now(), unix_millis(self.now())),
        })
    }
}

/// A clock that is not set back while the process runs.
pub struct MonotonicClock(MonotonicSource);

enum MonotonicSource {
    /// A moment and its time since 1970, in milliseconds.
    System(Instant, u64),
    Manual(Arc<ManualClock>),
}

impl MonotonicClock {
    /// Returns the number of milliseconds since 1970.
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            MonotonicSource::System(started, at) => {
                at.saturating_add(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
            }
            MonotonicSource::Manual(clock) => unix_millis(clock.now()),
        }
    }
}

fn unix_millis(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_millisecond()).unwrap_or(0)
}
