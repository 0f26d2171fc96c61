//! Guards that count running work, so that a manual clock does not advance during it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use jiff::Timestamp;

use crate::services::clock::handle::Clock;
use crate::services::clock::manual::ManualClock;
use crate::services::clock::woken::Woken;

impl Clock {
    /// Counts one activity until the guard is dropped; a manual clock advances only while the count is zero.
    ///
    /// Costs nothing on the system clock.
    #[track_caller]
    pub fn activity(&self) -> ActivityGuard {
        let location = Location::caller();
        ActivityGuard(self.manual_clock().map(|clock| Arc::new(ActivityCount::new(Arc::clone(clock), location))))
    }
}

/// One running activity; ends when it is dropped.
///
/// `None` on the system clock. Guards that were made by [`ActivityGuard::share`] share one count.
#[derive(Debug)]
pub struct ActivityGuard(Option<Arc<ActivityCount>>);

impl ActivityGuard {
    /// Returns another guard of the same activity: both count as one, until both are dropped.
    ///
    /// For a caller that hands work on and waits for its end: the clock does not advance between the end of the work and the end of the wait.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Waits until the wall clock shows `moment` or later, also when the clock is set or the machine was suspended. Cancel-safe.
    ///
    /// Does not count while it waits.
    pub async fn sleep_until(&mut self, clock: &Clock, moment: Timestamp) {
        clock.sleep_until(moment).await;
    }

    /// Waits like [`ActivityGuard::sleep_until`], but returns also when the clock was set or the machine was suspended. Cancel-safe.
    pub async fn sleep(&mut self, clock: &Clock, moment: Timestamp) -> Woken {
        clock.sleep(moment).await
    }

    /// Waits for something other than the time, such as a channel. As cancel-safe as the future it waits for.
    ///
    /// Does not count while it waits.
    pub async fn idle<T>(&mut self, outside: impl Future<Output = T>) -> T {
        let _idle = self.0.as_ref().map(|count| Idle::new(&count.clock));
        outside.await
    }

    /// Stops counting until [`SuspendedActivity::resume`]: for work that is queued behind other work, which may wait for the time itself.
    pub fn suspend(self) -> SuspendedActivity {
        if let Some(count) = &self.0 {
            count.clock.suspend();
        }
        SuspendedActivity(self)
    }
}

/// A queued activity, which does not count until it is resumed.
#[derive(Debug)]
pub struct SuspendedActivity(ActivityGuard);

impl SuspendedActivity {
    /// Counts the activity again.
    pub fn resume(self) -> ActivityGuard {
        self.0.share()
    }
}

impl Drop for SuspendedActivity {
    fn drop(&mut self) {
        if let Some(count) = &self.0.0 {
            count.clock.resume();
        }
    }
}

/// One count on a manual clock, from creation to drop.
struct ActivityCount {
    clock: Arc<ManualClock>,
    location: &'static Location<'static>,
}

impl ActivityCount {
    fn new(clock: Arc<ManualClock>, location: &'static Location<'static>) -> Self {
        clock.acquire(location);
        Self { clock, location }
    }
}

impl fmt::Debug for ActivityCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActivityCount({})", self.location)
    }
}

impl Drop for ActivityCount {
    fn drop(&mut self) {
        self.clock.release(self.location);
    }
}

/// A pause of one count, from creation to drop.
struct Idle<'a>(&'a ManualClock);

impl<'a> Idle<'a> {
    fn new(clock: &'a ManualClock) -> Self {
        clock.suspend();
        Self(clock)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}
