//! Phase of the script on the current thread.

use std::cell::RefCell;
use std::sync::Arc;

use crate::functions::context::{Context, Loading};
use crate::functions::testing::test_run::TestRun;
use crate::functions::thrown::{Thrown, thrown};

/// Phase of the script on the current thread.
#[derive(Clone)]
pub enum Phase {
    /// No script.
    None,
    /// The top level of a script, which declares triggers.
    Loading(Arc<Loading>),
    /// A run.
    Running(Arc<Context>),
    /// A test.
    TestRun(Arc<TestRun>),
}

thread_local! {
    static PHASE: RefCell<Phase> = const { RefCell::new(Phase::None) };
}

/// Returns the phase of the script on this thread.
pub fn phase() -> Phase {
    PHASE.with_borrow(Clone::clone)
}

/// Runs a script's code in a phase, on the current thread.
pub fn enter<T>(phase: Phase, code: impl FnOnce() -> T) -> T {
    /// Restores the previous phase on drop, also after a panic.
    struct RestorePhase(Option<Phase>);
    impl Drop for RestorePhase {
        fn drop(&mut self) {
            PHASE.set(self.0.take().unwrap_or(Phase::None));
        }
    }
    let _restore = RestorePhase(Some(PHASE.replace(phase)));
    code()
}

/// Returns the context of the run on this thread.
///
/// # Errors
/// `top_level` outside a run; the message contains the correction.
pub fn context(function: &str) -> Result<Arc<Context>, Thrown> {
    match phase() {
        Phase::Running(context) => Ok(context),
        Phase::TestRun(_) => Err(thrown(
            "top_level",
            format!(
                "`{function}` can only be called in a script; a test uses `publish`, `advance`, `request` and the other test functions"
            ),
        )),
        _ => Err(thrown(
            "top_level",
            format!(
                "`{function}` cannot be called at the top level, which only declares triggers: write `on_start(|| {function}(…))`"
            ),
        )),
    }
}
