//! Thread pool with large stacks for scripts: threads start on demand and stop when idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::script::MIN_STACK_SIZE;
use crate::services::mqtt;

/// Idle time after which a thread stops.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a job may wait for a busy thread before the pool grows.
const STALL_LIMIT: Duration = Duration::from_millis(1);

/// Job.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Thread pool for scripts; cheap to clone.
///
/// The pool starts one thread per core at once. It grows beyond that only when no thread has started a job for [`STALL_LIMIT`],
/// so that a burst of short runs does not start a thread each, and blocked runs do not delay the others.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    state: Mutex<PoolState>,
    work: Condvar,
    stalled: Notify,
    cores: usize,
}

struct PoolState {
    waiting: VecDeque<Job>,
    /// Minimum stack size of every thread; grows with `limits.memory`.
    stack: usize,
    threads: usize,
    idle: usize,
    /// Number of jobs started.
    started: u64,
}

impl Pool {
    /// Creates a pool without threads; its task `grow` runs until the pool is dropped.
    pub(super) fn new(runtime: &tokio::runtime::Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let state = PoolState { waiting: VecDeque::new(), stack: MIN_STACK_SIZE, threads: 0, idle: 0, started: 0 };
        let inner = Arc::new(Inner { state: Mutex::new(state), work: Condvar::new(), stalled: Notify::new(), cores });
        runtime.spawn(grow(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Enqueues a job for a thread with at least this stack size, without blocking.
    pub(super) fn submit(&self, stack: usize, job: Job) {
        let mut state = self.0.lock();
        state.stack = state.stack.max(stack);
        state.waiting.push_back(job);
        if state.idle >= state.waiting.len() {
            drop(state);
            self.0.work.notify_one();
        } else if state.threads < self.0.cores {
            add_thread(&self.0, &mut state);
        } else {
            drop(state);
            self.0.stalled.notify_one();
        }
    }

    /// Returns whether no job waits for a thread.
    pub(super) fn is_free(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }
}

/// Adds threads while jobs wait and no thread starts them.
async fn grow(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        // The timeout notices a pool that was dropped meanwhile.
        let _ = tokio::time::timeout(IDLE_TIMEOUT, strong.stalled.notified()).await;
        loop {
            let before = strong.lock().started;
            tokio::time::sleep(STALL_LIMIT).await;
            let mut state = strong.lock();
            if state.waiting.is_empty() {
                break;
            }
            if state.started == before {
                // Limited, because a stall of the whole machine must not start hundreds of threads.
                let more = (state.waiting.len() / 8).clamp(1, 32);
                (0..more).for_each(|_| add_thread(&strong, &mut state));
            }
        }
    }
}

fn add_thread(inner: &Arc<Inner>, state: &mut PoolState) {
    let (shared, stack) = (inner.clone(), state.stack);
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(stack);
    match thread.spawn(move || work(&shared, stack)) {
        Ok(_) => state.threads += 1,
        // The job waits for an existing thread; `grow` tries again.
        Err(error) => {
            tracing::warn!(%error, threads = state.threads, "no more threads for scripts");
            inner.stalled.notify_one();
        }
    }
}

fn work(inner: &Arc<Inner>, stack: usize) {
    // The packets of several jobs are sent together.
    let _wakes = mqtt::WakeBatch::start();
    let mut state = inner.lock();
    loop {
        if stack < state.stack {
            // A thread with a larger stack replaces this one.
            state.threads -= 1;
            if !state.waiting.is_empty() {
                add_thread(inner, &mut state);
            }
            return;
        }
        if let Some(job) = state.waiting.pop_front() {
            state.started += 1;
            drop(state);
            // Panics of a run are caught inside the job; this keeps the thread count correct if one escapes.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            state = inner.lock();
            continue;
        }
        drop(state);
        mqtt::flush_wakes();
        state = inner.lock();
        if !state.waiting.is_empty() {
            continue;
        }
        state.idle += 1;
        let waited = inner.work.wait_for(&mut state, IDLE_TIMEOUT);
        state.idle -= 1;
        if waited.timed_out() && state.waiting.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_waits_does_not_hold_up_other_work() {
        let pool = Pool::new(&tokio::runtime::Handle::current());
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..50 {
            let gate = gate.clone();
            pool.submit(MIN_STACK_SIZE, Box::new(move || gate.lock().recv().unwrap_err().to_string().clear()));
        }
        let (done, finished) = tokio::sync::oneshot::channel();
        pool.submit(MIN_STACK_SIZE, Box::new(move || done.send(()).unwrap()));
        tokio::time::timeout(Duration::from_secs(30), finished).await.unwrap().unwrap();
        drop(open);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_burst_of_short_work_shares_few_threads() {
        let pool = Pool::new(&tokio::runtime::Handle::current());
        let (tx, rx) = mpsc::channel();
        for number in 0..1_000 {
            let tx = tx.clone();
            pool.submit(MIN_STACK_SIZE, Box::new(move || tx.send(number).unwrap()));
        }
        drop(tx);
        assert_eq!(rx.iter().count(), 1_000);
        assert!(pool.0.lock().threads < 100, "{} threads", pool.0.lock().threads);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_needs_a_larger_stack_gets_a_new_thread() {
        let pool = Pool::new(&tokio::runtime::Handle::current());
        let thread_of = |stack| {
            let (tx, rx) = mpsc::channel();
            pool.submit(stack, Box::new(move || tx.send(std::thread::current().id()).unwrap()));
            let id = rx.recv().unwrap();
            while pool.0.lock().idle == 0 {
                std::thread::yield_now();
            }
            id
        };
        let (small, again, large) =
            (thread_of(MIN_STACK_SIZE), thread_of(MIN_STACK_SIZE), thread_of(2 * MIN_STACK_SIZE));
        assert_eq!(small, again);
        assert_ne!(small, large);
        assert_eq!(thread_of(MIN_STACK_SIZE), large);
        assert_eq!(pool.0.lock().threads, 1);
    }
}
