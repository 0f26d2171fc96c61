//! Threads with a large stack that run scripts: made when needed, reused, given up when idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::script::MIN_STACK_SIZE;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);
/// How long work waits for one of the busy threads before another is made.
const PATIENCE: Duration = Duration::from_millis(1);

/// A piece of work.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Threads that run scripts; cheap to clone.
///
/// As many threads as the machine has cores are made at once; more only when none of them takes up work for a moment,
/// so that a burst of short runs does not pay for a thread each, and runs that wait do not hold up the others.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    work: Condvar,
    pressure: Notify,
    cores: usize,
}

struct State {
    waiting: VecDeque<Job>,
    /// What every thread needs at least; grows with `limits.memory`.
    stack: usize,
    threads: usize,
    idle: usize,
    /// Counts the jobs that were taken up.
    taken: u64,
}

impl Pool {
    /// Makes a pool without threads; `grow` runs until the runtime ends.
    pub(super) fn new(runtime: &tokio::runtime::Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let state = State { waiting: VecDeque::new(), stack: MIN_STACK_SIZE, threads: 0, idle: 0, taken: 0 };
        let inner = Arc::new(Inner { state: Mutex::new(state), work: Condvar::new(), pressure: Notify::new(), cores });
        runtime.spawn(grow(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Has a piece of work done on a thread with at least this stack; never waits.
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
            self.0.pressure.notify_one();
        }
    }

    /// Returns whether no work waits for a thread.
    pub(super) fn is_free(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Adds threads while work waits and nobody takes it up.
async fn grow(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        // A clone of the pool that is dropped meanwhile leaves this one waiting: it is looked after now and then.
        let _ = tokio::time::timeout(IDLE, strong.pressure.notified()).await;
        loop {
            let before = strong.lock().taken;
            tokio::time::sleep(PATIENCE).await;
            let mut state = strong.lock();
            if state.waiting.is_empty() {
                break;
            }
            if state.taken == before {
                // A moment in which the whole machine stands still is no reason for hundreds.
                let more = (state.waiting.len() / 8).clamp(1, 32);
                (0..more).for_each(|_| add_thread(&strong, &mut state));
            }
        }
    }
}

fn add_thread(inner: &Arc<Inner>, state: &mut State) {
    let (shared, stack) = (inner.clone(), state.stack);
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(stack);
    match thread.spawn(move || work(&shared, stack)) {
        Ok(_) => state.threads += 1,
        // The work waits for one of the threads there are; `grow` tries again.
        Err(error) => {
            tracing::warn!(%error, threads = state.threads, "no more threads for scripts");
            inner.pressure.notify_one();
        }
    }
}

fn work(inner: &Arc<Inner>, stack: usize) {
    let mut state = inner.lock();
    loop {
        if stack < state.stack {
            // One with a larger stack takes over.
            state.threads -= 1;
            if !state.waiting.is_empty() {
                add_thread(inner, &mut state);
            }
            return;
        }
        if let Some(job) = state.waiting.pop_front() {
            state.taken += 1;
            drop(state);
            // What a run does wrong is the run's fault and was caught there; this keeps the count right even so.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            state = inner.lock();
            continue;
        }
        state.idle += 1;
        let waited = inner.work.wait_for(&mut state, IDLE);
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
