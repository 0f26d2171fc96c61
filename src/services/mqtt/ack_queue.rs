//! Completed messages, from subscribers to the connection's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::services::mqtt::wake_batch;

/// Numbers of messages that may be acknowledged; filled by acknowledgement tokens, drained by the connection's task.
#[derive(Default)]
pub(super) struct AckQueue {
    // Bounded: a broker has at most 65,535 messages in flight.
    completed: Mutex<Vec<u64>>,
    is_shutting_down: AtomicBool,
    wake: Arc<Notify>,
}

impl AckQueue {
    /// Marks a message as processed.
    pub(super) fn complete(&self, number: u64) {
        self.completed.lock().push(number);
        self.wake();
    }

    pub(super) fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    /// Returns whether rhaid is stopping: a message that has had no effect yet will have none.
    pub(super) fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Acquire)
    }

    /// Wakes the connection's task, or has the batch of this thread do so.
    pub(super) fn wake(&self) {
        if !wake_batch::postpone(&self.wake) {
            self.wake.notify_one();
        }
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.completed.lock())
    }
}
