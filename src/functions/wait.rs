//! Blocking waits of a run, bounded by its deadline and cancellation.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Waker};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::functions::context::Context;
use crate::functions::phase::{Phase, phase};
use crate::functions::thrown::{Stop, Thrown, uncatchable};

/// A timeout shared by several waits.
#[derive(Debug, Clone, Copy)]
pub struct SharedTimeout {
    end: Instant,
    /// End on the virtual clock of a sandbox.
    virtual_end: Option<Timestamp>,
}

impl Context {
    /// Blocks the run's thread on a future. Returns at once when the run is cancelled or its deadline passes.
    ///
    /// # Errors
    /// An error that cannot be caught, if the run must end.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, Thrown> {
        output(future, |pending| self.wait_until_ready(pending))
    }

    /// Waits like [`Context::wait`], and drives HTTP I/O on this thread.
    ///
    /// # Errors
    /// An error that cannot be caught, if the run must end.
    pub fn wait_for_http<T>(&self, future: impl Future<Output = T>) -> Result<T, Thrown> {
        let Some(driver) = self.services.http.driver() else { return self.wait(future) };
        self.before_blocking();
        let waited = output(future, |pending| driver.block_on(self.within_limits(pending)));
        waited.inspect_err(|_| driver.poll_idle())
    }

    fn wait_until_ready(&self, mut pending: Pending<'_>) -> Result<(), Thrown> {
        if !self.cancel.is_cancelled() {
            // Many futures are ready already; then no timer is registered.
            let _guard = self.runtime.enter();
            if pending.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_ready() {
                return Ok(());
            }
        }
        self.before_blocking();
        self.runtime.block_on(self.within_limits(pending))
    }

    async fn within_limits(&self, pending: Pending<'_>) -> Result<(), Thrown> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(uncatchable(Stop::Cancelled)),
            () = tokio::time::sleep_until(self.deadline.into()) => Err(uncatchable(Stop::Deadline)),
            () = pending => Ok(()),
        }
    }

    /// Waits like [`Context::wait`], for at most `timeout`; then returns `None`.
    ///
    /// # Errors
    /// An error that cannot be caught, if the run must end.
    pub fn wait_for<T>(&self, timeout: Duration, future: impl Future<Output = T>) -> Result<Option<T>, Thrown> {
        let Some(deadline) = self.virtual_deadline else {
            return self.wait(async { tokio::time::timeout(timeout, future).await.ok() });
        };
        let clock = &self.services.clock;
        let end = clock.now().checked_add(timeout).unwrap_or(deadline).min(deadline);
        let waited = self.wait(async {
            tokio::select! {
                biased;
                value = future => Some(value),
                () = clock.sleep_until(end) => None,
            }
        })?;
        if waited.is_none() && end == deadline { Err(uncatchable(Stop::Deadline)) } else { Ok(waited) }
    }

    /// Starts a timeout for several waits.
    pub fn shared_timeout(&self, timeout: Duration) -> SharedTimeout {
        let virtual_end =
            self.virtual_deadline.map(|deadline| self.services.clock.now().checked_add(timeout).unwrap_or(deadline));
        SharedTimeout { end: Instant::now() + timeout, virtual_end }
    }

    /// Returns the time left of a shared timeout.
    pub fn remaining(&self, timeout: SharedTimeout) -> Duration {
        match timeout.virtual_end {
            Some(end) => self.services.clock.now().duration_until(end).try_into().unwrap_or_default(),
            None => timeout.end.saturating_duration_since(Instant::now()),
        }
    }

    /// Waits until the clock reaches a time.
    ///
    /// # Errors
    /// An error that cannot be caught, if the run must end.
    pub fn sleep_until(&self, moment: Timestamp) -> Result<(), Thrown> {
        let clock = &self.services.clock;
        match self.virtual_deadline.filter(|deadline| moment > *deadline) {
            None => self.wait(clock.sleep_until(moment)),
            Some(deadline) => self.wait(clock.sleep_until(deadline)).and_then(|()| Err(uncatchable(Stop::Deadline))),
        }
    }
}

/// A future without its output type, so that waiting is compiled once.
type Pending<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// Waits for a future with `wait` and returns its output.
fn output<T>(
    future: impl Future<Output = T>,
    wait: impl FnOnce(Pending<'_>) -> Result<(), Thrown>,
) -> Result<T, Thrown> {
    let mut output = None;
    wait(pin!(async { output = Some(future.await) }))?;
    // `wait` returns `Ok` only after the future has completed.
    output.ok_or_else(|| uncatchable(Stop::Cancelled))
}

/// Deadline of work that does not wait, such as listing a directory: the run's deadline, or 3 seconds outside a run.
pub(super) struct WorkDeadline {
    context: Option<Arc<Context>>,
    deadline: Instant,
}

impl WorkDeadline {
    pub(super) fn new() -> Self {
        match phase() {
            Phase::Running(context) => Self { deadline: context.deadline, context: Some(context) },
            _ => Self { context: None, deadline: Instant::now() + Duration::from_secs(3) },
        }
    }

    /// Returns an error if the run was cancelled or the deadline passed; call it regularly.
    pub(super) fn check(&self) -> Result<(), Thrown> {
        if self.context.as_ref().is_some_and(|context| context.cancel.is_cancelled()) {
            return Err(uncatchable(Stop::Cancelled));
        }
        if Instant::now() > self.deadline { Err(uncatchable(Stop::Deadline)) } else { Ok(()) }
    }
}
