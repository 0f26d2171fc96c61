//! Access to the sandbox of the test on the current thread.

use std::sync::Arc;

use crate::functions::phase::{Phase, phase};
use crate::functions::testing::sandbox::SandboxApi;
use crate::functions::testing::test_run::TestRun;
use crate::functions::thrown::{Thrown, thrown};

/// Returns the test that runs on this thread.
pub(super) fn test_run() -> Result<Arc<TestRun>, Thrown> {
    match phase() {
        Phase::TestRun(test) => Ok(test),
        _ => Err(thrown(
            "top_level",
            "this function can only be called inside `test(\"…\", || { … })`, where there is a sandbox",
        )),
    }
}

/// Returns the sandbox of the test that runs on this thread.
pub(super) fn sandbox() -> Result<Arc<dyn SandboxApi>, Thrown> {
    test_run().map(|test| test.sandbox.clone())
}
