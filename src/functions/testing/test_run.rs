//! The test on the current thread.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr};

use crate::functions::testing::sandbox::SandboxApi;
use crate::functions::thrown::{Thrown, thrown};

/// Calls a function of a test file.
type Caller = dyn Fn(&FnPtr, Vec<Dynamic>) -> Result<Dynamic, Thrown> + Send + Sync;

/// A running test.
pub struct TestRun {
    /// Its sandbox.
    pub sandbox: Arc<dyn SandboxApi>,
    /// Calls a function of the test file.
    pub call: Box<Caller>,
}

/// Returns the error for a failed assertion.
pub(super) fn assertion_failed(why: impl Into<String>) -> Thrown {
    thrown("assertion", why)
}

/// Returns the error for a failed operation of the sandbox.
pub(super) fn sandbox_error(why: String) -> Thrown {
    thrown("sandbox", why)
}
