//! The real clock, which can be set and which stands still for nobody.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::services::clock::Woken;

/// How often the clock is looked at for jumps, as long as anyone sleeps.
const LOOK: Duration = Duration::from_secs(1);

/// How far wall and monotonic time may drift apart before sleepers are told.
const DRIFT: SignedDuration = SignedDuration::from_millis(500);

/// The longest sleep given to the runtime at once: its wheel reaches about two years.
const STRETCH: Duration = Duration::from_secs(30 * 86_400);

/// The real clock, which can be set.
#[derive(Default)]
pub(super) struct SystemClock {
    jumps: Notify,
    sleepers: AtomicUsize,
    watching: AtomicBool,
}

impl SystemClock {
    pub(super) async fn sleep(self: &Arc<Self>, moment: Timestamp) -> Woken {
        if moment <= Timestamp::now() {
            return Woken::Due;
        }
        let _sleeper = self.enter();
        let mut jumped = pin!(self.jumps.notified());
        jumped.as_mut().enable();
        loop {
            // The runtime's timer may be early where the wall clock is slewed: look again.
            let Ok(left @ 1..) = u64::try_from(moment.duration_since(Timestamp::now()).as_nanos()) else {
                return Woken::Due;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_nanos(left).min(STRETCH)) => {}
                () = jumped.as_mut() => return Woken::Jumped,
            }
        }
    }

    fn enter(self: &Arc<Self>) -> Sleeper<'_> {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if !self.watching.swap(true, Ordering::SeqCst) {
            tokio::spawn(watch_for_jumps(Watching(Arc::clone(self))));
        }
        Sleeper(self)
    }
}

/// Counts a sleeper.
struct Sleeper<'a>(&'a SystemClock);

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.0.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says that someone looks for jumps; taken back also when the runtime goes.
struct Watching(Arc<SystemClock>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watching.store(false, Ordering::SeqCst);
    }
}

/// Tells all sleepers when the clock was set or the machine slept; ends when nobody sleeps.
async fn watch_for_jumps(watching: Watching) {
    let mut drift = Drift::new(Timestamp::now(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let wall = Arc::clone(&watching.0);
        if wall.sleepers.load(Ordering::SeqCst) == 0 {
            drop(watching);
            // Someone may have gone to sleep just before the flag fell.
            let again = wall.sleepers.load(Ordering::SeqCst) > 0 && !wall.watching.swap(true, Ordering::SeqCst);
            if again {
                Box::pin(watch_for_jumps(Watching(wall))).await;
            }
            return;
        }
        if drift.jumped(Timestamp::now(), Instant::now()) {
            wall.jumps.notify_waiters();
        }
    }
}

/// How wall time runs against monotonic time, which stands still while the machine sleeps and is never set.
struct Drift {
    wall: Timestamp,
    monotonic: Instant,
}

impl Drift {
    fn new(wall: Timestamp, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// Returns whether they have gone apart since the last time they did; slow drift adds up.
    fn jumped(&mut self, wall: Timestamp, monotonic: Instant) -> bool {
        let passed = SignedDuration::try_from(monotonic - self.monotonic).unwrap_or(SignedDuration::MAX);
        let apart = (wall.duration_since(self.wall) - passed).abs() > DRIFT;
        if apart {
            *self = Self { wall, monotonic };
        }
        apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_noticed_once_and_slow_drift_when_it_has_added_up() {
        let (wall, monotonic) = (Timestamp::UNIX_EPOCH, Instant::now());
        let mut drift = Drift::new(wall, monotonic);
        let mut at = |wall_ms: i64, monotonic_ms: u64| {
            drift.jumped(wall + SignedDuration::from_millis(wall_ms), monotonic + Duration::from_millis(monotonic_ms))
        };
        assert!(!at(1_000, 1_000));
        assert!(!at(2_400, 2_000), "0.4 s apart");
        assert!(at(3_600, 3_000), "0.6 s apart, added up");
        assert!(!at(4_600, 4_000), "noticed already");
        assert!(at(3_600_000, 5_000), "set forward, or slept");
        assert!(at(0, 6_000), "set back");
    }

    #[tokio::test]
    async fn a_jump_wakes_sleepers_early() {
        let wall = Arc::new(SystemClock::default());
        let sleeper = Arc::clone(&wall);
        let sleep = tokio::spawn(async move { sleeper.sleep(Timestamp::now() + Duration::from_secs(3_600)).await });
        while wall.sleepers.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        wall.jumps.notify_waiters();
        assert_eq!(sleep.await.unwrap(), Woken::Jumped);
        assert_eq!(wall.sleepers.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_watcher_goes_when_nobody_sleeps_and_comes_back() {
        let wall = Arc::new(SystemClock::default());
        let soon = || Timestamp::now() + Duration::from_millis(5);
        assert_eq!(wall.sleep(soon()).await, Woken::Due);
        assert!(wall.watching.load(Ordering::SeqCst));
        while wall.watching.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(wall.sleep(soon()).await, Woken::Due);
        assert!(wall.watching.load(Ordering::SeqCst));
    }
}
