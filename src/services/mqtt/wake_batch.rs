//! Wake-ups of connections that a worker thread postpones, so that the packets of several short runs are sent with one system call.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Longest delay of a wake-up while a thread works.
const MAX_DELAY: Duration = Duration::from_millis(1);

thread_local! {
    static BATCH: RefCell<Option<Postponed>> = const { RefCell::new(None) };
}

/// Connections to wake, and since when.
#[derive(Default)]
struct Postponed {
    connections: Vec<Arc<Notify>>,
    since: Option<Instant>,
}

/// Postpones the wake-ups that this thread causes, until it is dropped, the thread blocks, or [`flush_overdue_wakes`] finds one overdue.
pub struct WakeBatch(());

impl WakeBatch {
    /// Starts a batch on this thread.
    pub fn start() -> Self {
        BATCH.with_borrow_mut(|batch| {
            batch.get_or_insert_default();
        });
        Self(())
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        flush_wakes();
        BATCH.set(None);
    }
}

/// Wakes the connections that wait for this thread. To be called before the thread blocks.
pub fn flush_wakes() {
    let connections = BATCH.with_borrow_mut(|batch| {
        let batch = batch.as_mut()?;
        batch.since = None;
        Some(std::mem::take(&mut batch.connections))
    });
    connections.into_iter().flatten().for_each(|connection| connection.notify_one());
}

/// Wakes the connections that have waited for too long. To be called now and then by long work.
pub fn flush_overdue_wakes(now: Instant) {
    let is_overdue = |batch: &Option<Postponed>| {
        batch
            .as_ref()
            .and_then(|batch| batch.since)
            .is_some_and(|since| now.saturating_duration_since(since) >= MAX_DELAY)
    };
    if BATCH.with_borrow(is_overdue) {
        flush_wakes();
    }
}

/// Postpones the wake-up of a connection; returns false if there is no batch on this thread.
pub(super) fn postpone(connection: &Arc<Notify>) -> bool {
    BATCH.with_borrow_mut(|batch| {
        let Some(batch) = batch else { return false };
        if !batch.connections.iter().any(|known| Arc::ptr_eq(known, connection)) {
            batch.connections.push(connection.clone());
            batch.since.get_or_insert_with(Instant::now);
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::services::mqtt::ack_queue::AckQueue;

    #[test]
    fn a_connection_is_woken_at_the_end_of_a_batch_when_the_thread_blocks_or_when_it_is_overdue() {
        let connection = Arc::new(AckQueue::default());
        let is_woken = || connection.woken().now_or_never().is_some();
        connection.wake();
        assert!(is_woken(), "without a batch it is woken at once");
        let batch = WakeBatch::start();
        connection.wake();
        flush_overdue_wakes(Instant::now());
        assert!(!is_woken());
        flush_overdue_wakes(Instant::now() + MAX_DELAY);
        assert!(is_woken());
        connection.complete(1);
        assert!(!is_woken());
        flush_wakes();
        assert!(is_woken());
        connection.wake();
        drop(batch);
        assert!(is_woken());
    }
}
