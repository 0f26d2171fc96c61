//! The only one who knows the time; a test turns it by hand.
//!
//! # Who is busy
//! A hand-turned clock moves on only when nothing is going on, and counts that exactly:
//! - Each [`ActivityGuard`] counts one. An event carries one through the inbox, and its run holds it to the end; a task that sleeps makes one
//!   *before* it is spawned (so that it counts before its first step) and holds it as long as it lives.
//! - While a holder waits in [`ActivityGuard::sleep_until`], [`ActivityGuard::sleep`] or [`ActivityGuard::idle`], its `ActivityGuard` does not count. The clock counts a
//!   sleeper again in the same moment in which it wakes it, so there is no gap.
//! - A run's functions do not hold the run's `ActivityGuard` themselves: they wait in [`Clock::sleep_until`], which takes one off the count
//!   while it waits. Who calls that without being counted is found out: the count falls below zero, and [`Clock::advance`] panics.
//! - An event that waits behind another's run is laid down with [`ActivityGuard::rest`] and taken up again when its own run starts.
//! - What hands work to an idling task sends a `ActivityGuard` along, to be dropped when the work is done.

mod manual;
mod system;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use self::manual::{ActivityCount, ManualClock};
use self::system::SystemClock;

/// The only one who knows the time; cheap to clone.
#[derive(Clone)]
pub struct Clock {
    zone: TimeZone,
    face: Source,
}

#[derive(Clone)]
enum Source {
    SystemClock(Arc<SystemClock>),
    ManualClock(Arc<ManualClock>),
}

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The moment has come.
    Due,
    /// The clock was set, forward or back, or the machine slept; the moment may or may not have come.
    Jumped,
}

impl Clock {
    /// The real clock, showing times in this zone by default.
    pub fn system(zone: TimeZone) -> Self {
        Self { zone, face: Source::SystemClock(Arc::default()) }
    }

    /// A clock that stands until [`Clock::advance`] turns it, for tests.
    pub fn manual(start: Zoned) -> Self {
        Self {
            zone: start.time_zone().clone(),
            face: Source::ManualClock(Arc::new(ManualClock::new(start.timestamp()))),
        }
    }

    /// A clock of a world that is held in the hand: like one that is turned by hand, and runs take turns on it, in a fixed order, one
    /// at a time, and have their limits by it.
    pub fn held(start: Zoned) -> Self {
        Self {
            zone: start.time_zone().clone(),
            face: Source::ManualClock(Arc::new(ManualClock::in_turns(start.timestamp()))),
        }
    }

    /// Returns whether runs take turns on this clock.
    pub fn is_held(&self) -> bool {
        matches!(&self.face, Source::ManualClock(hand) if hand.takes_turns)
    }

    /// Waits until nothing else is going on in a held world, for someone of this name who is counted; else returns at once.
    pub async fn turn(&self, name: &str) {
        if let Source::ManualClock(hand) = &self.face
            && hand.takes_turns
        {
            hand.turn(name).await;
        }
    }

    /// Returns whether only one is busy on a hand-turned clock, and nobody is due before it.
    pub fn is_alone(&self) -> bool {
        match &self.face {
            Source::ManualClock(hand) => hand.is_alone(),
            Source::SystemClock(_) => true,
        }
    }

    /// Returns the moment to which a hand-turned clock would move next, if nothing is going on and somebody sleeps.
    pub fn next_due(&self) -> Option<Timestamp> {
        match &self.face {
            Source::ManualClock(hand) => hand.next_due(),
            Source::SystemClock(_) => None,
        }
    }

    /// Returns the zone of clock times.
    pub fn zone(&self) -> TimeZone {
        self.zone.clone()
    }

    /// Returns the same clock, showing times in another zone by default.
    #[must_use]
    pub fn in_zone(&self, zone: TimeZone) -> Self {
        Self { zone, face: self.face.clone() }
    }

    /// Returns the moment.
    pub fn now(&self) -> Timestamp {
        match &self.face {
            Source::SystemClock(_) => Timestamp::now(),
            Source::ManualClock(hand) => hand.now(),
        }
    }

    /// Returns the moment in the zone of clock times.
    pub fn now_zoned(&self) -> Zoned {
        self.now().to_zoned(self.zone())
    }

    /// Waits until the wall clock shows `moment` or later, also when the clock is set or the machine slept. Cancel-safe.
    ///
    /// For the functions of a run, which holds a [`ActivityGuard`]: takes one off the count of a hand-turned clock while it waits. A task of its
    /// own waits in [`ActivityGuard::sleep_until`] instead.
    pub async fn sleep_until(&self, moment: Timestamp) {
        while self.sleep(moment).await == Woken::Jumped {}
    }

    /// Says that something is going on, until it is dropped; a hand-turned clock moves on only when nobody says so.
    #[track_caller]
    pub fn activity(&self) -> ActivityGuard {
        ActivityGuard(match &self.face {
            Source::ManualClock(hand) => Some(Arc::new(ActivityCount::new(Arc::clone(hand), Location::caller()))),
            Source::SystemClock(_) => None,
        })
    }

    /// Turns a hand-turned clock: from deadline to deadline in order, each sleeper woken alone and waited for until nothing is busy.
    ///
    /// Blocks the thread, which must not be one of a runtime's that the sleepers need.
    ///
    /// # Panics
    /// On the real clock; if something stays busy for a minute; if a sleeper is not counted (see [`crate::services::clock`]).
    pub fn advance(&self, duration: Duration) {
        let hand = self.hand();
        hand.walk(hand.after(duration));
    }

    /// Turns a hand-turned clock like [`Clock::advance`], as a task beside those that sleep.
    ///
    /// # Panics
    /// As [`Clock::advance`].
    pub async fn advance_along(&self, duration: Duration) {
        let hand = self.hand();
        hand.walk_along(hand.after(duration)).await;
    }

    /// Waits until a hand-turned clock has somebody to wake who is due already.
    ///
    /// # Panics
    /// On the real clock.
    pub async fn until_due(&self) {
        self.hand().until_due().await;
    }

    /// Sets a hand-turned clock forward or back without the time between passing, and waits until nothing is busy.
    ///
    /// # Panics
    /// As [`Clock::advance`].
    pub fn set(&self, moment: Timestamp) {
        self.hand().set(moment);
        self.hand().walk(moment);
    }

    async fn sleep(&self, moment: Timestamp) -> Woken {
        match &self.face {
            Source::SystemClock(wall) => wall.sleep(moment).await,
            Source::ManualClock(hand) => hand.sleep(moment).await,
        }
    }

    fn hand(&self) -> &Arc<ManualClock> {
        match &self.face {
            Source::ManualClock(hand) => hand,
            Source::SystemClock(_) => panic!("only a clock made by `Clock::by_hand` can be turned"),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_zoned())
    }
}

/// Something that is going on; dropped when it is over.
///
/// `None` on the real clock, where it costs nothing; the count is shared by guards that count as one.
#[derive(Debug)]
pub struct ActivityGuard(Option<Arc<ActivityCount>>);

impl ActivityGuard {
    /// Returns another hold on the same work: both count as one, until both are dropped.
    ///
    /// For who hands work on and waits for its end: the clock stands from the end of the work to the end of the wait.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Waits until the wall clock shows `moment` or later, also when the clock is set or the machine slept. Cancel-safe.
    ///
    /// Does not count as busy while it waits.
    pub async fn sleep_until(&mut self, clock: &Clock, moment: Timestamp) {
        clock.sleep_until(moment).await;
    }

    /// Waits like [`ActivityGuard::sleep_until`], but returns also when the clock was set or the machine slept. Cancel-safe.
    pub async fn sleep(&mut self, clock: &Clock, moment: Timestamp) -> Woken {
        clock.sleep(moment).await
    }

    /// Waits for something else than the time, such as a channel. As cancel-safe as what it waits for.
    ///
    /// Does not count as busy while it waits.
    pub async fn idle<T>(&mut self, outside: impl Future<Output = T>) -> T {
        let _idle = self.0.as_ref().map(|count| count.clock().idle());
        outside.await
    }

    /// Lays this down until it is taken up again: for work that waits behind other work, which may wait for the time itself.
    pub fn rest(self) -> SuspendedActivity {
        if let Some(count) = &self.0 {
            count.clock().rest();
        }
        SuspendedActivity(self)
    }
}

/// Work that is laid down: it does not count as busy until it is taken up again.
#[derive(Debug)]
pub struct SuspendedActivity(ActivityGuard);

impl SuspendedActivity {
    /// Takes it up again.
    pub fn resume(self) -> ActivityGuard {
        self.0.share()
    }
}

impl Drop for SuspendedActivity {
    fn drop(&mut self) {
        if let Some(count) = &self.0.0 {
            count.clock().rouse();
        }
    }
}

#[cfg(test)]
mod tests {

    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::*;

    fn start() -> Zoned {
        "2026-01-01T00:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    /// Ticks every so many seconds and writes down the second and its name.
    fn ticker(runtime: &tokio::runtime::Runtime, clock: &Clock, name: char, seconds: i64, log: &Arc<Mutex<String>>) {
        let (mut activity, clock, log) = (clock.activity(), clock.clone(), Arc::clone(log));
        runtime.spawn(async move {
            let mut due = clock.now();
            loop {
                due += jiff::SignedDuration::from_secs(seconds);
                activity.sleep_until(&clock, due).await;
                assert_eq!(clock.now(), due);
                tokio::task::yield_now().await;
                log.lock().push(name);
            }
        });
    }

    #[test]
    fn sleepers_wake_in_order_one_by_one() {
        let (runtime, clock, log) = (runtime(), Clock::manual(start()), Arc::default());
        ticker(&runtime, &clock, 'a', 2, &log);
        ticker(&runtime, &clock, 'b', 3, &log);
        clock.advance(Duration::from_secs(9));
        // At 6 s both are due; b began to sleep for it at 3 s, a at 4 s.
        assert_eq!(*log.lock(), "ababaab");
        assert_eq!(clock.now_zoned().to_string(), "2026-01-01T00:00:09+01:00[Europe/Berlin]");
    }

    #[test]
    fn time_stands_while_something_is_busy() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let (work, mut inbox) = mpsc::channel::<ActivityGuard>(8);
        let (mut activity, worker) = (clock.activity(), clock.clone());
        runtime.spawn(async move {
            loop {
                activity.sleep_until(&worker, worker.now() + jiff::SignedDuration::from_secs(1)).await;
                work.send(worker.activity()).await.unwrap();
            }
        });
        let (seen, watch) = (Arc::new(Mutex::new(Vec::new())), clock.clone());
        let log = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Some(_busy) = inbox.recv().await {
                let before = watch.now();
                tokio::time::sleep(Duration::from_millis(3)).await;
                log.lock().push((before, watch.now()));
            }
        });
        clock.advance(Duration::from_secs(20));
        let seen = seen.lock();
        assert_eq!(seen.len(), 20);
        assert!(seen.iter().all(|(before, after)| before == after));
    }

    #[test]
    fn a_run_that_sleeps_lets_time_pass() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let (run, functions) = (clock.activity(), clock.clone());
        let slept = runtime.spawn(async move {
            functions.sleep_until(functions.now() + jiff::SignedDuration::from_hours(5)).await;
            let now = functions.now();
            drop(run);
            now
        });
        clock.advance(Duration::from_secs(6 * 3_600));
        let woke = runtime.block_on(slept).unwrap();
        assert_eq!(clock.now().duration_since(woke), jiff::SignedDuration::from_hours(1));
    }

    #[test]
    fn a_cancelled_sleep_counts_again() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let mut activity = clock.activity();
        let far = clock.now() + jiff::SignedDuration::from_hours(5);
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = activity.sleep_until(&clock, far) => unreachable!(),
                () = tokio::task::yield_now() => {}
            }
        });
        assert_eq!(clock.hand().count(), 1);
        drop(activity);
        assert_eq!(clock.hand().count(), 0);
    }

    #[test]
    fn an_idle_task_does_not_hold_the_clock() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let mut activity = clock.activity();
        let (send, mut receive) = mpsc::channel::<()>(1);
        let task = runtime.spawn(async move { activity.idle(receive.recv()).await });
        clock.advance(Duration::from_secs(60));
        drop(send);
        assert_eq!(runtime.block_on(task).unwrap(), None);
    }

    #[test]
    fn setting_the_clock_wakes_who_wants_to_know_and_nobody_too_early() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let (mut knows, mut waits) = (clock.activity(), clock.activity());
        let due = clock.now() + jiff::SignedDuration::from_mins(10);
        let (knows_clock, waits_clock) = (clock.clone(), clock.clone());
        let knowing = runtime.spawn(async move { knows.sleep(&knows_clock, due).await });
        let waiting = runtime.spawn(async move { waits.sleep_until(&waits_clock, due).await });
        clock.advance(Duration::ZERO);
        clock.set(due - jiff::SignedDuration::from_hours(1));
        assert_eq!(runtime.block_on(knowing).unwrap(), Woken::Jumped);
        assert!(!waiting.is_finished());
        clock.set(due + jiff::SignedDuration::from_hours(1));
        runtime.block_on(waiting).unwrap();
    }

    #[test]
    #[should_panic(expected = "not counted")]
    fn a_sleeper_that_is_not_counted_is_found_out() {
        let (runtime, clock) = (runtime(), Clock::manual(start()));
        let sleeper = clock.clone();
        let (ready, is_ready) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let mut sleep = std::pin::pin!(sleeper.sleep_until(sleeper.now() + jiff::SignedDuration::from_hours(1)));
            assert!(futures_util::poll!(&mut sleep).is_pending());
            ready.send(()).unwrap();
            sleep.await;
        });
        is_ready.recv().unwrap();
        clock.advance(Duration::from_secs(1));
    }

    #[test]
    fn the_hand_can_be_turned_from_a_task() {
        let clock = Clock::manual(start());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut activity, sleeper) = (clock.activity(), clock.clone());
            let slept = tokio::spawn(async move {
                activity.sleep_until(&sleeper, sleeper.now() + jiff::SignedDuration::from_secs(5)).await;
                sleeper.now()
            });
            clock.advance_along(Duration::from_secs(7)).await;
            assert_eq!(clock.now().duration_since(slept.await.unwrap()), jiff::SignedDuration::from_secs(2));
        });
    }

    #[test]
    fn the_real_clock_wakes_at_the_moment_and_not_before() {
        let clock = Clock::system(TimeZone::UTC);
        runtime().block_on(async {
            let mut activity = clock.activity();
            let due = clock.now() + jiff::SignedDuration::from_millis(40);
            activity.sleep_until(&clock, due).await;
            assert!(clock.now() >= due);
            assert_eq!(activity.sleep(&clock, due).await, Woken::Due);
        });
    }
}
