//! A clock that a test turns by hand.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::services::clock::Woken;

/// How long a walk waits for what is busy before it gives up: far above any run's limit.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that a test turns by hand.
pub(super) struct ManualClock {
    state: Mutex<State>,
    calm: Condvar,
    /// Whether runs go on one at a time.
    pub(super) takes_turns: bool,
}

struct State {
    now: Timestamp,
    /// How many are busy: holders less those of them who sleep or idle.
    count: i64,
    /// Where the holders took hold, to name those who hold time up.
    holders: BTreeMap<&'static Location<'static>, usize>,
    sleepers: BTreeMap<Ticket, Waker>,
    /// Sleepers that were woken and have not gone on yet.
    woken: BTreeMap<Ticket, Woken>,
    /// Tasks that wait until nobody is busy.
    walkers: Vec<Waker>,
    next: u64,
}

/// Sorts sleepers by deadline, then those without a name before those who wait for their turn, who are sorted by name, then by who
/// came first.
type Ticket = (Timestamp, String, u64);

enum Step {
    Woke,
    Busy,
    Arrived,
    Miscounted,
}

impl ManualClock {
    pub(super) fn new(now: Timestamp) -> Self {
        let state = State {
            now,
            count: 0,
            holders: BTreeMap::new(),
            sleepers: BTreeMap::new(),
            woken: BTreeMap::new(),
            walkers: Vec::new(),
            next: 0,
        };
        Self { state: Mutex::new(state), calm: Condvar::new(), takes_turns: false }
    }

    pub(super) fn in_turns(now: Timestamp) -> Self {
        Self { takes_turns: true, ..Self::new(now) }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now
    }

    pub(super) fn after(&self, duration: Duration) -> Timestamp {
        self.now() + duration
    }

    fn hold(&self, place: &'static Location<'static>) {
        let mut state = self.lock();
        state.count += 1;
        *state.holders.entry(place).or_default() += 1;
    }

    fn release(&self, place: &'static Location<'static>) {
        let mut state = self.lock();
        state.count -= 1;
        if let Some(holders) = state.holders.get_mut(place) {
            *holders -= 1;
        }
        self.tell_if_calm(&mut state);
    }

    /// Takes one off the count until the guard is dropped.
    pub(super) fn idle(&self) -> Idle<'_> {
        self.rest();
        Idle(self)
    }

    /// Takes one off the count until [`ManualClock::rouse`].
    pub(super) fn rest(&self) {
        let mut state = self.lock();
        state.count -= 1;
        self.tell_if_calm(&mut state);
    }

    /// Puts on the count what [`ManualClock::rest`] took off.
    pub(super) fn rouse(&self) {
        self.lock().count += 1;
    }

    /// Sleeps, off the count while it does.
    pub(super) fn sleep(&self, moment: Timestamp) -> Sleep<'_> {
        Sleep { hand: self, moment, turn: None, ticket: None }
    }

    /// Sleeps until nothing else is going on and nobody is before it, off the count while it does.
    pub(super) fn turn<'a>(&'a self, name: &'a str) -> Sleep<'a> {
        Sleep { hand: self, moment: self.now(), turn: Some(name), ticket: None }
    }

    pub(super) fn is_alone(&self) -> bool {
        self.lock().is_alone()
    }

    /// Returns when the next sleeper is due, if nothing is going on.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let state = self.lock();
        state.sleepers.keys().next().filter(|_| state.count <= 0).map(|ticket| ticket.0)
    }

    /// Shows another time, and tells every sleeper.
    pub(super) fn set(&self, moment: Timestamp) {
        let mut state = self.lock();
        state.now = moment;
        for (ticket, waker) in std::mem::take(&mut state.sleepers) {
            // Who waits for a turn gets it early, which does no harm.
            state.woken.insert(ticket, Woken::Jumped);
            state.count += 1;
            waker.wake();
        }
    }

    /// Walks from deadline to deadline; waits at each until nothing is busy.
    pub(super) fn walk(&self, target: Timestamp) {
        while self.go(target) {
            let mut state = self.lock();
            let waited = self.calm.wait_while_for(&mut state, |state| state.count > 0, PATIENCE);
            if waited.timed_out() {
                Self::give_up(state);
            }
        }
    }

    /// Walks like [`ManualClock::walk`], as a task, beside those that sleep.
    pub(super) async fn walk_along(&self, target: Timestamp) {
        while self.go(target) {
            if tokio::time::timeout(PATIENCE, self.until(|state| state.count <= 0)).await.is_err() {
                Self::give_up(self.lock());
            }
        }
    }

    /// Waits until nobody is busy and somebody is due.
    pub(super) async fn until_due(&self) {
        let is_due = |state: &State| state.sleepers.keys().next().is_some_and(|first| first.0 <= state.now);
        self.until(|state| state.count <= 0 && is_due(state)).await;
    }

    /// Walks as far as it can; returns whether somebody is busy now.
    fn go(&self, target: Timestamp) -> bool {
        loop {
            match self.lock().step(target) {
                Step::Woke => {}
                Step::Arrived => return false,
                Step::Busy => return true,
                Step::Miscounted => panic!(
                    "a sleeper is not counted: a task of its own must hold a `Busy` and wait in `Busy::sleep_until`"
                ),
            }
        }
    }

    /// Waits for what can come only when nobody is busy.
    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            let mut state = self.lock();
            if is_so(&state) {
                return Poll::Ready(());
            }
            state.walkers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> i64 {
        self.lock().count
    }

    fn tell_if_calm(&self, state: &mut State) {
        if state.count <= 0 {
            self.calm.notify_all();
            state.walkers.drain(..).for_each(Waker::wake);
        }
    }

    fn give_up(state: MutexGuard<'_, State>) -> ! {
        let mut held = String::new();
        for (place, holders) in state.holders.iter().filter(|(_, holders)| **holders > 0) {
            let _ = write!(held, "\n  {holders} from {place}");
        }
        let count = state.count;
        drop(state);
        panic!("{count} still busy after {PATIENCE:?}; held, sleepers among them:{held}");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Returns whether only one is busy and nobody is due.
    fn is_alone(&self) -> bool {
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
            return Step::Arrived;
        };
        let (ticket, waker) = next.remove_entry();
        self.now = self.now.max(ticket.0);
        self.woken.insert(ticket, Woken::Due);
        self.count += 1;
        waker.wake();
        Step::Woke
    }
}

/// Counts one from when it is made until it is dropped.
pub(super) struct ActivityCount {
    hand: Arc<ManualClock>,
    place: &'static Location<'static>,
}

impl ActivityCount {
    pub(super) fn new(hand: Arc<ManualClock>, place: &'static Location<'static>) -> Self {
        hand.hold(place);
        Self { hand, place }
    }

    /// Returns the clock that counts this.
    pub(super) fn clock(&self) -> &ManualClock {
        &self.hand
    }
}

impl fmt::Debug for ActivityCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.place)
    }
}

impl Drop for ActivityCount {
    fn drop(&mut self) {
        self.hand.release(self.place);
    }
}

/// Something that waits for something else than the time.
pub(super) struct Idle<'a>(&'a ManualClock);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.rouse();
    }
}

/// A sleep until a moment.
pub(super) struct Sleep<'a> {
    hand: &'a ManualClock,
    moment: Timestamp,
    /// Who waits for a turn, if it is not the moment alone that is waited for.
    turn: Option<&'a str>,
    /// Given out at the first poll that finds the moment still to come.
    ticket: Option<Ticket>,
}

impl Future for Sleep<'_> {
    type Output = Woken;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Woken> {
        let mut state = self.hand.lock();
        if let Some(ticket) = &self.ticket {
            if let Some(woken) = state.woken.remove(ticket) {
                drop(state);
                self.ticket = None;
                return Poll::Ready(woken);
            }
            state.sleepers.insert(ticket.clone(), context.waker().clone());
            return Poll::Pending;
        }
        let is_next = match self.turn {
            None => self.moment <= state.now,
            Some(_) => state.is_alone(),
        };
        if is_next {
            return Poll::Ready(Woken::Due);
        }
        let ticket = (self.moment, self.turn.unwrap_or_default().to_owned(), state.next);
        state.next += 1;
        state.count -= 1;
        state.sleepers.insert(ticket.clone(), context.waker().clone());
        self.hand.tell_if_calm(&mut state);
        drop(state);
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let Some(ticket) = &self.ticket else { return };
        let mut state = self.hand.lock();
        if state.sleepers.remove(ticket).is_some() {
            state.count += 1;
        }
        state.woken.remove(ticket);
    }
}
