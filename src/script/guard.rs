//! Enforces the limits of the script code on this thread. A script cannot catch an exceeded limit.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use crate::config::Limits;
use crate::functions::{Context, Stop};
use crate::memory;

/// The number of operations between checks of the deadline and cancellation. Nearly all operations take microseconds at most.
const CHECK_INTERVAL: u64 = 16;

/// The external condition that stops the code.
enum StopCondition {
    /// No code is running.
    None,
    /// The deadline of the top level.
    Deadline(Instant),
    /// The deadline and cancellation of a run.
    Run(Arc<Context>),
}

/// The limits and usage of the code on a thread.
struct Guard {
    operations: Cell<u64>,
    max_operations: Cell<u64>,
    /// The largest allowed value of [`memory::allocated`].
    max_allocated: Cell<i64>,
    stopped: Cell<Option<Stop>>,
    condition: RefCell<StopCondition>,
}

thread_local! {
    static GUARD: Guard = const {
        Guard {
            operations: Cell::new(0),
            max_operations: Cell::new(u64::MAX),
            max_allocated: Cell::new(i64::MAX),
            stopped: Cell::new(None),
            condition: RefCell::new(StopCondition::None),
        }
    };
}

/// Runs the top level of a script within the limits and the deadline. Returns the stop reason, if it was stopped.
pub(super) fn run_top_level<T>(limits: &Limits, deadline: Instant, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    run_guarded(limits, StopCondition::Deadline(deadline), code)
}

/// Runs a handler or job within the limits of its context. Returns the stop reason, if it was stopped.
pub(super) fn run_handler<T>(context: &Arc<Context>, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    run_guarded(&context.config.limits, StopCondition::Run(context.clone()), code)
}

fn run_guarded<T>(limits: &Limits, condition: StopCondition, code: impl FnOnce() -> T) -> (T, Option<Stop>) {
    struct ResetOnDrop;
    impl Drop for ResetOnDrop {
        fn drop(&mut self) {
            GUARD.with(|guard| {
                guard.condition.replace(StopCondition::None);
                guard.max_operations.set(u64::MAX);
                guard.max_allocated.set(i64::MAX);
            });
        }
    }
    GUARD.with(|guard| {
        guard.operations.set(0);
        guard.max_operations.set(limits.operations);
        guard.max_allocated.set(memory::allocated().saturating_add_unsigned(limits.memory));
        guard.stopped.set(None);
        guard.condition.replace(condition);
    });
    let reset = ResetOnDrop;
    let value = code();
    drop(reset);
    (value, GUARD.with(|guard| guard.stopped.take()))
}

/// Counts one operation and returns the stop reason, if the code must stop. The interpreter calls this at each operation.
pub(super) fn on_operation() -> Option<Stop> {
    GUARD.with(|guard| {
        if guard.stopped.get().is_none() {
            guard.stopped.set(guard.check());
        }
        guard.stopped.get()
    })
}

/// Stops the code from inside a function. A script cannot catch this.
pub(super) fn stop(stop: Stop) {
    GUARD.with(|guard| {
        if guard.stopped.get().is_none() {
            guard.stopped.set(Some(stop));
        }
    });
}

/// Returns the memory that the code on this thread may still allocate, in bytes.
pub(super) fn remaining_memory() -> u64 {
    let left = GUARD.with(|guard| guard.max_allocated.get()).saturating_sub(memory::allocated());
    u64::try_from(left).unwrap_or(0)
}

impl Guard {
    fn check(&self) -> Option<Stop> {
        let operations = self.operations.get() + 1;
        self.operations.set(operations);
        if operations > self.max_operations.get() {
            return Some(Stop::Operations);
        }
        if memory::allocated() > self.max_allocated.get() {
            return Some(Stop::Memory);
        }
        if !operations.is_multiple_of(CHECK_INTERVAL) {
            return None;
        }
        match &*self.condition.borrow() {
            StopCondition::None => None,
            StopCondition::Run(context) if context.cancel.is_cancelled() => Some(Stop::Cancelled),
            StopCondition::Run(context) => {
                let now = Instant::now();
                context.on_progress(now);
                (now >= context.deadline).then_some(Stop::Deadline)
            }
            StopCondition::Deadline(deadline) => (Instant::now() >= *deadline).then_some(Stop::Deadline),
        }
    }
}
