//! Moves connections on, on the thread that waits for an answer: it so has its answer without a change of threads, which costs
//! more than all else about a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

use crate::memory;

/// How often somebody looks after connections for which nobody waits, such as those that their servers close.
const LOOK: Duration = Duration::from_secs(1);

/// What moves connections on; cheap to clone.
///
/// Of several threads that wait, one does it for all. While there is none, a thread of its own looks in now and then.
#[derive(Debug, Clone)]
pub struct Driver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Taken when it is dropped, and not before.
    runtime: Option<Runtime>,
    /// Who looks in; `None`: there was no thread to be had.
    keeper: OnceLock<Option<Thread>>,
    /// Whether the keeper sleeps until it is called.
    is_asleep: AtomicBool,
}

impl Driver {
    /// Makes one; `None` if the system has nothing left for it.
    pub(super) fn new() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok();
        let inner = Inner { runtime: Some(runtime?), keeper: OnceLock::new(), is_asleep: AtomicBool::new(false) };
        Some(Self(Arc::new(inner)))
    }

    /// Begins work that goes on while somebody waits.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.runtime().spawn(work)
    }

    /// Waits, and moves all connections on meanwhile. What that allocates is not counted as this thread's.
    ///
    /// # Panics
    /// On a thread of an asynchronous runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let value = memory::uncounted(|| self.0.runtime().block_on(work));
        self.0.keeper.get_or_init(|| keeper(Arc::downgrade(&self.0)));
        if self.0.is_asleep.load(Ordering::SeqCst) {
            self.look();
        }
        value
    }

    /// Has what was let go of closed at once.
    pub fn look(&self) {
        self.0.look();
    }
}

impl Inner {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only who drops it takes it")
    }

    fn look(&self) {
        self.keeper.get().into_iter().flatten().for_each(Thread::unpark);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.look();
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Has the driver look when it is dropped.
#[derive(Debug)]
pub(super) struct LastLook(pub(super) Driver);

impl Drop for LastLook {
    fn drop(&mut self) {
        self.0.look();
    }
}

/// Starts the thread that looks in, until the driver is gone; it sleeps while nothing is open.
fn keeper(driver: Weak<Inner>) -> Option<Thread> {
    let look_in = move || {
        while let Some(driver) = driver.upgrade() {
            // Twice: what wakes up at the first look has its turn at the second.
            driver.runtime().block_on(async {
                yield_now().await;
                yield_now().await;
            });
            // Said first: who comes after the question calls.
            driver.is_asleep.store(true, Ordering::SeqCst);
            let is_anything_open = driver.runtime().metrics().num_alive_tasks() > 0;
            driver.is_asleep.store(!is_anything_open, Ordering::SeqCst);
            drop(driver);
            if is_anything_open { thread::park_timeout(LOOK) } else { thread::park() }
        }
    };
    let started = thread::Builder::new().name("http".to_owned()).spawn(look_in).ok()?;
    Some(started.thread().clone())
}
