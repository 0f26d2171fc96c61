//! Sleeping on a manual clock.

use std::pin::Pin;
use std::task::{Context, Poll};

use jiff::Timestamp;

use crate::services::clock::manual::{ManualClock, SleeperKey};
use crate::services::clock::woken::Woken;

impl ManualClock {
    /// Sleeps until a moment; does not count as an activity meanwhile.
    pub(super) fn sleep(&self, moment: Timestamp) -> Sleep<'_> {
        Sleep { clock: self, moment, turn: None, key: None }
    }

    /// Sleeps until nothing else is running and no sleeper precedes it; does not count as an activity meanwhile.
    pub(super) fn wait_turn<'a>(&'a self, name: &'a str) -> Sleep<'a> {
        Sleep { clock: self, moment: self.now(), turn: Some(name), key: None }
    }
}

/// A sleep until a moment, or until the turn of a serialized run.
pub(super) struct Sleep<'a> {
    clock: &'a ManualClock,
    moment: Timestamp,
    /// The name of a run that waits for its turn.
    turn: Option<&'a str>,
    /// Assigned at the first poll that has to wait.
    key: Option<SleeperKey>,
}

impl Future for Sleep<'_> {
    type Output = Woken;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Woken> {
        let mut state = self.clock.lock();
        if let Some(key) = &self.key {
            if let Some(woken) = state.woken.remove(key) {
                drop(state);
                self.key = None;
                return Poll::Ready(woken);
            }
            state.sleepers.insert(key.clone(), context.waker().clone());
            return Poll::Pending;
        }
        let is_next = match self.turn {
            None => self.moment <= state.now,
            Some(_) => state.is_sole_activity(),
        };
        if is_next {
            return Poll::Ready(Woken::Due);
        }
        let key = (self.moment, self.turn.unwrap_or_default().to_owned(), state.next_sleeper);
        state.next_sleeper += 1;
        state.count -= 1;
        state.sleepers.insert(key.clone(), context.waker().clone());
        self.clock.notify_if_quiescent(&mut state);
        drop(state);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        let mut state = self.clock.lock();
        if state.sleepers.remove(key).is_some() {
            state.count += 1;
        }
        state.woken.remove(key);
    }
}
