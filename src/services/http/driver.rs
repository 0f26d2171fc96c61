//! Drives HTTP I/O on the thread that waits for the response. This saves a thread switch, which costs more than
//! the rest of a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

use crate::memory;

/// Interval at which idle connections are polled, so that connections closed by their servers are dropped.
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The runtime that drives HTTP I/O; cheap to clone.
///
/// One of the waiting threads drives the I/O of all. While none waits, a background thread polls at intervals.
#[derive(Debug, Clone)]
pub struct Driver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` only during drop.
    runtime: Option<Runtime>,
    /// The thread that polls idle connections; `None`: it could not be spawned.
    idle_poller: OnceLock<Option<Thread>>,
    /// Whether the idle poller is parked until it is unparked.
    is_parked: AtomicBool,
}

impl Driver {
    /// Returns a driver; `None` if the system cannot provide one.
    pub(super) fn new() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok();
        let inner = Inner { runtime: Some(runtime?), idle_poller: OnceLock::new(), is_parked: AtomicBool::new(false) };
        Some(Self(Arc::new(inner)))
    }

    /// Spawns work that progresses while a thread is in [`Driver::block_on`].
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.runtime().spawn(work)
    }

    /// Waits for `work` and drives all connections meanwhile. Allocations of other requests are not counted as this thread's.
    ///
    /// # Panics
    /// On a thread of an asynchronous runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let value = memory::uncounted(|| self.0.runtime().block_on(work));
        self.0.idle_poller.get_or_init(|| idle_poller(Arc::downgrade(&self.0)));
        if self.0.is_parked.load(Ordering::SeqCst) {
            self.poll_idle();
        }
        value
    }

    /// Polls idle connections now, so that dropped ones are closed.
    pub fn poll_idle(&self) {
        self.0.poll_idle();
    }
}

impl Inner {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is taken only on drop")
    }

    fn poll_idle(&self) {
        self.idle_poller.get().into_iter().flatten().for_each(Thread::unpark);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.poll_idle();
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Polls idle connections when it is dropped.
#[derive(Debug)]
pub(super) struct PollOnDrop(pub(super) Driver);

impl Drop for PollOnDrop {
    fn drop(&mut self) {
        self.0.poll_idle();
    }
}

/// Spawns the idle poller, which ends with the driver and parks while no connection is open.
fn idle_poller(driver: Weak<Inner>) -> Option<Thread> {
    let look_in = move || {
        while let Some(driver) = driver.upgrade() {
            // Twice: tasks that the first pass wakes run in the second.
            driver.runtime().block_on(async {
                yield_now().await;
                yield_now().await;
            });
            // Set before the check: a thread that adds a task after the check sees it and unparks the poller.
            driver.is_parked.store(true, Ordering::SeqCst);
            let is_anything_open = driver.runtime().metrics().num_alive_tasks() > 0;
            driver.is_parked.store(!is_anything_open, Ordering::SeqCst);
            drop(driver);
            if is_anything_open { thread::park_timeout(IDLE_POLL_INTERVAL) } else { thread::park() }
        }
    };
    let started = thread::Builder::new().name("http".to_owned()).spawn(look_in).ok()?;
    Some(started.thread().clone())
}
