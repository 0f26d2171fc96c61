//! Holds the code that runs on this thread to its budgets; once spent, nothing that the script catches goes on.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use crate::config::Limits;
use crate::functions::{Context, Stop};
use crate::memory;

/// The code looks at the clock and for a cancellation once in so many operations, which each take microseconds at most, but for a few.
const LOOK: u64 = 16;

/// What ends the code from outside.
enum Clock {
    /// Nobody runs here.
    Still,
    /// At the top level: the time.
    Deadline(Instant),
    /// In a run: its time, and who cancels it.
    Run(Arc<Context>),
}

struct Guard {
    spent: Cell<u64>,
    operations: Cell<u64>,
    ceiling: Cell<i64>,
    stopped: Cell<Option<Stop>>,
    clock: RefCell<Clock>,
}

thread_local! {
    static GUARD: Guard = const {
        Guard {
            spent: Cell::new(0),
            operations: Cell::new(u64::MAX),
            ceiling: Cell::new(i64::MAX),
            stopped: Cell::new(None),
            clock: RefCell::new(Clock::Still),
        }
    };
}

/// Runs the top level of a script within the limits and until the deadline; returns why it had to stop, if it had to.
pub(super) fn loading<T>(limits: &Limits, deadline: Instant, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    guarded(limits, Clock::Deadline(deadline), code)
}

/// Runs a handler or job within the limits and those of its context; returns why it had to stop, if it had to.
pub(super) fn running<T>(context: &Arc<Context>, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    guarded(&context.config.limits, Clock::Run(context.clone()), code)
}

fn guarded<T>(limits: &Limits, clock: Clock, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            GUARD.with(|guard| {
                guard.clock.replace(Clock::Still);
                guard.operations.set(u64::MAX);
                guard.ceiling.set(i64::MAX);
            });
        }
    }
    GUARD.with(|guard| {
        guard.spent.set(0);
        guard.operations.set(limits.operations);
        guard.ceiling.set(memory::allocated().saturating_add_unsigned(limits.memory));
        guard.stopped.set(None);
        guard.clock.replace(clock);
    });
    let leave = Leave;
    let value = code();
    drop(leave);
    (value, GUARD.with(|guard| guard.stopped.take()))
}

/// Counts one operation; returns why the code must stop, if it must. Called by the interpreter at every step.
pub(super) fn step() -> Option<Stop> {
    GUARD.with(|guard| {
        if guard.stopped.get().is_none() {
            guard.stopped.set(guard.verdict());
        }
        guard.stopped.get()
    })
}

/// Notes that a function had to stop on its own, so that nothing goes on even if the script catches it.
pub(super) fn stop(stop: Stop) {
    GUARD.with(|guard| {
        if guard.stopped.get().is_none() {
            guard.stopped.set(Some(stop));
        }
    });
}

/// Returns how many bytes the code on this thread may still take.
pub(super) fn room() -> u64 {
    let left = GUARD.with(|guard| guard.ceiling.get()).saturating_sub(memory::allocated());
    u64::try_from(left).unwrap_or(0)
}

impl Guard {
    fn verdict(&self) -> Option<Stop> {
        let spent = self.spent.get() + 1;
        self.spent.set(spent);
        if spent > self.operations.get() {
            return Some(Stop::Operations);
        }
        if memory::allocated() > self.ceiling.get() {
            return Some(Stop::Memory);
        }
        if !spent.is_multiple_of(LOOK) {
            return None;
        }
        match &*self.clock.borrow() {
            Clock::Still => None,
            Clock::Run(context) if context.cancel.is_cancelled() => Some(Stop::Cancelled),
            Clock::Run(context) => (Instant::now() >= context.deadline).then_some(Stop::Deadline),
            Clock::Deadline(deadline) => (Instant::now() >= *deadline).then_some(Stop::Deadline),
        }
    }
}
