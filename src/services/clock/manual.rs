//! A clock that advances on command, as soon as nothing is running.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::services::clock::woken::Woken;

/// How long an advance waits for running work before it panics: far above any run's limit.
const ADVANCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A clock that advances on command.
pub(super) struct ManualClock {
    state: Mutex<ClockState>,
    /// Notified when the activity count falls to zero.
    quiescent: Condvar,
    /// Whether runs are serialized.
    pub(super) is_serialized: bool,
}

/// The time, the activity count and the sleepers of a [`ManualClock`].
pub(super) struct ClockState {
    pub(super) now: Timestamp,
    /// Activities less those that sleep or idle.
    pub(super) count: i64,
    /// Activities by the place where they were created, for the panic message of a timeout.
    holders: BTreeMap<&'static Location<'static>, usize>,
    pub(super) sleepers: BTreeMap<SleeperKey, Waker>,
    /// Sleepers that were woken and not polled since.
    pub(super) woken: BTreeMap<SleeperKey, Woken>,
    /// Tasks that wait until nothing is running.
    quiescence_wakers: Vec<Waker>,
    pub(super) next_sleeper: u64,
}

/// The order in which sleepers wake: by deadline, then plain sleepers before those that wait for their turn (by name), then by age.
pub(super) type SleeperKey = (Timestamp, String, u64);

enum Step {
    WokeSleeper,
    Busy,
    ReachedTarget,
    Miscounted,
}

impl ManualClock {
    pub(super) fn new(now: Timestamp) -> Self {
        let state = ClockState {
            now,
            count: 0,
            holders: BTreeMap::new(),
            sleepers: BTreeMap::new(),
            woken: BTreeMap::new(),
            quiescence_wakers: Vec::new(),
            next_sleeper: 0,
        };
        Self { state: Mutex::new(state), quiescent: Condvar::new(), is_serialized: false }
    }

    pub(super) fn serialized(now: Timestamp) -> Self {
        Self { is_serialized: true, ..Self::new(now) }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Counts an activity that was created at `location`.
    pub(super) fn acquire(&self, location: &'static Location<'static>) {
        let mut state = self.lock();
        state.count += 1;
        *state.holders.entry(location).or_default() += 1;
    }

    /// Ends an activity that was created at `location`.
    pub(super) fn release(&self, location: &'static Location<'static>) {
        let mut state = self.lock();
        state.count -= 1;
        if let Some(holders) = state.holders.get_mut(location) {
            *holders -= 1;
        }
        self.notify_if_quiescent(&mut state);
    }

    /// Decrements the count until [`ManualClock::resume`].
    pub(super) fn suspend(&self) {
        let mut state = self.lock();
        state.count -= 1;
        self.notify_if_quiescent(&mut state);
    }

    /// Reverts [`ManualClock::suspend`].
    pub(super) fn resume(&self) {
        self.lock().count += 1;
    }

    pub(super) fn is_sole_activity(&self) -> bool {
        self.lock().is_sole_activity()
    }

    /// Returns the first deadline, if nothing is running.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let state = self.lock();
        state.sleepers.keys().next().filter(|_| state.count <= 0).map(|key| key.0)
    }

    /// Sets the time and wakes every sleeper.
    pub(super) fn set(&self, moment: Timestamp) {
        let mut state = self.lock();
        state.now = moment;
        for (key, waker) in std::mem::take(&mut state.sleepers) {
            // A sleeper that waits for its turn gets it early, which does no harm.
            state.woken.insert(key, Woken::Jumped);
            state.count += 1;
            waker.wake();
        }
    }

    /// Advances from deadline to deadline, and waits at each until nothing is running.
    pub(super) fn advance_to(&self, target: Timestamp) {
        while self.step_until_busy(target) {
            let mut state = self.lock();
            let waited = self.quiescent.wait_while_for(&mut state, |state| state.count > 0, ADVANCE_TIMEOUT);
            if waited.timed_out() {
                Self::panic_still_busy(state);
            }
        }
    }

    /// Advances like [`ManualClock::advance_to`], as a task beside the sleepers.
    pub(super) async fn advance_to_async(&self, target: Timestamp) {
        while self.step_until_busy(target) {
            if tokio::time::timeout(ADVANCE_TIMEOUT, self.wait_for(|state| state.count <= 0)).await.is_err() {
                Self::panic_still_busy(self.lock());
            }
        }
    }

    /// Waits until nothing is running and a sleeper is due.
    pub(super) async fn wait_until_due(&self) {
        let is_due = |state: &ClockState| state.sleepers.keys().next().is_some_and(|first| first.0 <= state.now);
        self.wait_for(|state| state.count <= 0 && is_due(state)).await;
    }

    /// Takes steps until something is running or the target is reached; returns whether something is running.
    fn step_until_busy(&self, target: Timestamp) -> bool {
        loop {
            match self.lock().step(target) {
                Step::WokeSleeper => {}
                Step::ReachedTarget => return false,
                Step::Busy => return true,
                Step::Miscounted => panic!(
                    "a sleeper is not counted: a task of its own must hold an `ActivityGuard` and wait in `ActivityGuard::sleep_until`"
                ),
            }
        }
    }

    /// Waits for a condition that can become true only when the count falls to zero.
    async fn wait_for(&self, condition: impl Fn(&ClockState) -> bool) {
        poll_fn(|context| {
            let mut state = self.lock();
            if condition(&state) {
                return Poll::Ready(());
            }
            state.quiescence_wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn notify_if_quiescent(&self, state: &mut ClockState) {
        if state.count <= 0 {
            self.quiescent.notify_all();
            state.quiescence_wakers.drain(..).for_each(Waker::wake);
        }
    }

    fn panic_still_busy(state: MutexGuard<'_, ClockState>) -> ! {
        let mut held = String::new();
        for (location, holders) in state.holders.iter().filter(|(_, holders)| **holders > 0) {
            let _ = write!(held, "\n  {holders} from {location}");
        }
        let count = state.count;
        drop(state);
        panic!("{count} activities still running after {ADVANCE_TIMEOUT:?}; guards, those of sleepers included:{held}");
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock()
    }
}

impl ClockState {
    /// Returns whether one activity is running and no sleeper is due.
    pub(super) fn is_sole_activity(&self) -> bool {
        self.count == 1 && self.sleepers.keys().next().is_none_or(|first| first.0 > self.now)
    }

    fn step(&mut self, target: Timestamp) -> Step {
        if self.count > 0 {
            return Step::Busy;
        }
        if self.count < 0 {
            return Step::Miscounted;
        }
        let Some(next) = self.sleepers.first_entry().filter(|next| next.key().0 <= target) else {
            self.now = self.now.max(target);
            return Step::ReachedTarget;
        };
        let (key, waker) = next.remove_entry();
        self.now = self.now.max(key.0);
        self.woken.insert(key, Woken::Due);
        self.count += 1;
        waker.wake();
        Step::WokeSleeper
    }
}
