//! The only one who knows the time; a test turns it by hand.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The only one who knows the time; cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// The real clock, showing times in this zone by default.
    pub fn system(zone: TimeZone) -> Self {
        Self { zone }
    }

    /// A clock that stands until [`Clock::advance`] turns it, for tests.
    pub fn by_hand(_start: Zoned) -> Self {
        unimplemented!()
    }

    /// Returns the zone of clock times.
    pub fn zone(&self) -> TimeZone {
        self.zone.clone()
    }

    /// Returns the moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Returns the moment in the zone of clock times.
    pub fn now_zoned(&self) -> Zoned {
        self.now().to_zoned(self.zone())
    }

    /// Waits until the wall clock shows `moment` or later, also when the clock is set or the machine slept. Cancel-safe.
    ///
    /// Counts as idle for [`Clock::advance`] while it waits.
    pub async fn sleep_until(&self, _moment: Timestamp) {
        unimplemented!()
    }

    /// Says that something is going on; a hand-turned clock moves on only when nobody says so.
    pub fn busy(&self) -> Busy {
        Busy {}
    }
}

/// Something that is going on; dropped when it is over.
#[derive(Debug)]
pub struct Busy {}
