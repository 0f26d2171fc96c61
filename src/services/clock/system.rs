//! The system clock: sleeps that notice clock changes and machine suspend.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::services::clock::woken::Woken;

/// How often the clock is checked for jumps while there are sleepers.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The drift between wall and monotonic time that counts as a jump.
const MAX_DRIFT: SignedDuration = SignedDuration::from_millis(500);

/// The longest single sleep of the runtime: its timer wheel covers about two years.
const MAX_TIMER: Duration = Duration::from_secs(30 * 86_400);

/// The operating system's clock, which can be set while sleepers wait.
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
        let _sleeper = self.register();
        let mut jumped = pin!(self.jumps.notified());
        jumped.as_mut().enable();
        loop {
            // The runtime's timer may fire early while the wall clock is slewed: check again.
            let Ok(left @ 1..) = u64::try_from(moment.duration_since(Timestamp::now()).as_nanos()) else {
                return Woken::Due;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_nanos(left).min(MAX_TIMER)) => {}
                () = jumped.as_mut() => return Woken::Jumped,
            }
        }
    }

    fn register(self: &Arc<Self>) -> Sleeper<'_> {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if !self.watching.swap(true, Ordering::SeqCst) {
            tokio::spawn(watch_for_jumps(WatchingFlag(Arc::clone(self))));
        }
        Sleeper(self)
    }
}

/// One registered sleeper.
struct Sleeper<'a>(&'a SystemClock);

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.0.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Marks the jump watcher as running; reset on drop, also when the runtime shuts down.
struct WatchingFlag(Arc<SystemClock>);

impl Drop for WatchingFlag {
    fn drop(&mut self) {
        self.0.watching.store(false, Ordering::SeqCst);
    }
}

/// Wakes all sleepers when the clock was set or the machine was suspended; ends when there are no sleepers.
async fn watch_for_jumps(flag: WatchingFlag) {
    let mut drift = Drift::new(Timestamp::now(), Instant::now());
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let clock = Arc::clone(&flag.0);
        if clock.sleepers.load(Ordering::SeqCst) == 0 {
            drop(flag);
            // A sleeper may have registered just before the flag was reset.
            let again = clock.sleepers.load(Ordering::SeqCst) > 0 && !clock.watching.swap(true, Ordering::SeqCst);
            if again {
                Box::pin(watch_for_jumps(WatchingFlag(clock))).await;
            }
            return;
        }
        if drift.jumped(Timestamp::now(), Instant::now()) {
            clock.jumps.notify_waiters();
        }
    }
}

/// Wall time compared with monotonic time, which stops during machine suspend and is never set.
struct Drift {
    wall: Timestamp,
    monotonic: Instant,
}

impl Drift {
    fn new(wall: Timestamp, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// Returns whether both have drifted apart since the last jump; slow drift adds up.
    fn jumped(&mut self, wall: Timestamp, monotonic: Instant) -> bool {
        let passed = SignedDuration::try_from(monotonic - self.monotonic).unwrap_or(SignedDuration::MAX);
        let apart = (wall.duration_since(self.wall) - passed).abs() > MAX_DRIFT;
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
    fn a_jump_is_detected_once_and_slow_drift_when_it_has_added_up() {
        let (wall, monotonic) = (Timestamp::UNIX_EPOCH, Instant::now());
        let mut drift = Drift::new(wall, monotonic);
        let mut at = |wall_ms: i64, monotonic_ms: u64| {
            drift.jumped(wall + SignedDuration::from_millis(wall_ms), monotonic + Duration::from_millis(monotonic_ms))
        };
        assert!(!at(1_000, 1_000));
        assert!(!at(2_400, 2_000), "0.4 s apart");
        assert!(at(3_600, 3_000), "0.6 s apart, added up");
        assert!(!at(4_600, 4_000), "detected already");
        assert!(at(3_600_000, 5_000), "set forward, or suspended");
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
    async fn the_watcher_ends_without_sleepers_and_starts_again() {
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
