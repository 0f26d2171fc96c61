//! Holds the code that runs on this thread to its budgets; once spent, nothing that the script catches goes on.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use tokio::task::AbortHandle;

use crate::config::Limits;
use crate::functions::{Context, Stop};
use crate::memory;

/// How many operations look at the clock themselves before a watcher is worth its price.
const SHORT: u64 = 64;

/// Who says that the time is up.
enum Clock {
    /// Nobody runs here.
    Still,
    /// The code itself looks, every few operations: at the top level, and in the first operations of a run.
    Own { deadline: Instant, run: Option<Arc<Context>> },
    /// A task waits for the deadline and for the cancellation, and raises the flag.
    Watched { flag: Arc<AtomicU8>, watcher: AbortHandle },
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
    guarded(limits, Clock::Own { deadline, run: None }, code)
}

/// Runs a handler or job within the limits and those of its context; returns why it had to stop, if it had to.
pub(super) fn running<T>(context: &Arc<Context>, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    let clock = Clock::Own { deadline: context.deadline, run: Some(context.clone()) };
    guarded(&context.config.limits, clock, code)
}

fn guarded<T>(limits: &Limits, clock: Clock, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            GUARD.with(|guard| {
                if let Clock::Watched { watcher, .. } = guard.clock.replace(Clock::Still) {
                    watcher.abort();
                }
                guard.operations.set(u64::MAX);
                guard.ceiling.set(i64::MAX);
            });
        }
    }
    GUARD.with(|guard| {
        guard.spent.set(0);
        guard.operations.set(limits.operations);
        guard.ceiling.set(memory::held().saturating_add_unsigned(limits.memory));
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
    let left = GUARD.with(|guard| guard.ceiling.get()).saturating_sub(memory::held());
    u64::try_from(left).unwrap_or(0)
}

impl Guard {
    fn verdict(&self) -> Option<Stop> {
        let spent = self.spent.get() + 1;
        self.spent.set(spent);
        if spent > self.operations.get() {
            return Some(Stop::Operations);
        }
        if memory::held() > self.ceiling.get() {
            return Some(Stop::Memory);
        }
        let mut clock = self.clock.borrow_mut();
        match &*clock {
            Clock::Still => None,
            Clock::Watched { flag, .. } => match flag.load(Ordering::Relaxed) {
                0 => None,
                1 => Some(Stop::Deadline),
                _ => Some(Stop::Cancelled),
            },
            Clock::Own { run: None, deadline } => {
                (spent.is_multiple_of(8) && Instant::now() >= *deadline).then_some(Stop::Deadline)
            }
            Clock::Own { run: Some(context), .. } if spent > SHORT => {
                let watched = watch(context);
                *clock = watched;
                None
            }
            Clock::Own { run: Some(context), deadline } => {
                if context.cancel.is_cancelled() {
                    Some(Stop::Cancelled)
                } else {
                    (Instant::now() >= *deadline).then_some(Stop::Deadline)
                }
            }
        }
    }
}

fn watch(context: &Arc<Context>) -> Clock {
    let flag = Arc::new(AtomicU8::new(0));
    let (raised, cancel, deadline) = (flag.clone(), context.cancel.clone(), context.deadline);
    let watcher = context.runtime.spawn(async move {
        let verdict = tokio::select! {
            biased;
            () = cancel.cancelled() => 2,
            () = tokio::time::sleep_until(deadline.into()) => 1,
        };
        raised.store(verdict, Ordering::Relaxed);
    });
    Clock::Watched { flag, watcher: watcher.abort_handle() }
}
