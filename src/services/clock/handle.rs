//! The handle on a clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::services::clock::manual::ManualClock;
use crate::services::clock::system::SystemClock;
use crate::services::clock::woken::Woken;

/// The only source of the time of day; cheap to clone.
#[derive(Clone)]
pub struct Clock {
    zone: TimeZone,
    source: Source,
}

#[derive(Clone)]
enum Source {
    System(Arc<SystemClock>),
    Manual(Arc<ManualClock>),
}

impl Clock {
    /// Returns the system clock, with this default time zone.
    pub fn system(zone: TimeZone) -> Self {
        Self { zone, source: Source::System(Arc::default()) }
    }

    /// Returns a clock that stands still until [`Clock::advance`], for tests.
    pub fn manual(start: Zoned) -> Self {
        Self { zone: start.time_zone().clone(), source: Source::Manual(Arc::new(ManualClock::new(start.timestamp()))) }
    }

    /// Returns the clock of a simulation: a manual clock on which runs are serialized in a fixed order and have their time limits.
    pub fn simulated(start: Zoned) -> Self {
        Self {
            zone: start.time_zone().clone(),
            source: Source::Manual(Arc::new(ManualClock::serialized(start.timestamp()))),
        }
    }

    /// Returns whether this is the clock of a simulation, on which runs are serialized.
    pub fn is_simulated(&self) -> bool {
        self.manual_clock().is_some_and(|clock| clock.is_serialized)
    }

    /// Waits in a simulation until nothing else is running and no earlier name waits; else returns at once. The caller must hold an activity.
    pub async fn wait_turn(&self, name: &str) {
        if let Some(clock) = self.manual_clock().filter(|clock| clock.is_serialized) {
            clock.wait_turn(name).await;
        }
    }

    /// Returns whether a manual clock counts one activity only and no sleeper is due before it.
    pub fn is_sole_activity(&self) -> bool {
        self.manual_clock().is_none_or(|clock| clock.is_sole_activity())
    }

    /// Returns the first deadline of a manual clock's sleepers, if nothing is running.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.manual_clock().and_then(|clock| clock.next_deadline())
    }

    /// Returns the default time zone.
    pub fn zone(&self) -> TimeZone {
        self.zone.clone()
    }

    /// Returns the same clock with another default time zone.
    #[must_use]
    pub fn in_zone(&self, zone: TimeZone) -> Self {
        Self { zone, source: self.source.clone() }
    }

    /// Returns the current moment.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System(_) => Timestamp::now(),
            Source::Manual(clock) => clock.now(),
        }
    }

    /// Returns the current moment in the default time zone.
    pub fn now_zoned(&self) -> Zoned {
        self.now().to_zoned(self.zone())
    }

    /// Waits until the wall clock shows `moment` or later, also when the clock is set or the machine was suspended. Cancel-safe.
    ///
    /// For the functions of a run, which holds an [`ActivityGuard`]: decrements a manual clock's activity count while it waits. A task of its
    /// own waits in [`ActivityGuard::sleep_until`] instead.
    ///
    /// [`ActivityGuard`]: crate::services::clock::ActivityGuard
    /// [`ActivityGuard::sleep_until`]: crate::services::clock::ActivityGuard::sleep_until
    pub async fn sleep_until(&self, moment: Timestamp) {
        while self.sleep(moment).await == Woken::Jumped {}
    }

    pub(super) async fn sleep(&self, moment: Timestamp) -> Woken {
        match &self.source {
            Source::System(clock) => clock.sleep(moment).await,
            Source::Manual(clock) => clock.sleep(moment).await,
        }
    }

    /// Advances a manual clock from deadline to deadline: wakes the sleepers one by one, and waits after each until nothing is running.
    ///
    /// Blocks the thread, which must not belong to a runtime that the sleepers need.
    ///
    /// # Panics
    /// On the system clock; if something runs for a minute; if a sleeper is not counted (see [`crate::services::clock`]).
    pub fn advance(&self, duration: Duration) {
        let clock = self.expect_manual();
        clock.advance_to(clock.now() + duration);
    }

    /// Advances a manual clock like [`Clock::advance`], as a task beside the sleepers.
    ///
    /// # Panics
    /// As [`Clock::advance`].
    pub async fn advance_async(&self, duration: Duration) {
        let clock = self.expect_manual();
        clock.advance_to_async(clock.now() + duration).await;
    }

    /// Waits until nothing is running on a manual clock and a sleeper is due.
    ///
    /// # Panics
    /// On the system clock.
    pub async fn wait_until_due(&self) {
        self.expect_manual().wait_until_due().await;
    }

    /// Sets a manual clock forward or back without passing the time between, and waits until nothing is running.
    ///
    /// # Panics
    /// As [`Clock::advance`].
    pub fn set(&self, moment: Timestamp) {
        let clock = self.expect_manual();
        clock.set(moment);
        clock.advance_to(moment);
    }

    pub(super) fn manual_clock(&self) -> Option<&Arc<ManualClock>> {
        match &self.source {
            Source::Manual(clock) => Some(clock),
            Source::System(_) => None,
        }
    }

    pub(super) fn expect_manual(&self) -> &Arc<ManualClock> {
        self.manual_clock().expect("only a clock made by `Clock::manual` can be advanced")
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_zoned())
    }
}
