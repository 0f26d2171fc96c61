//! The bounded queue between a connection and one of its subscribers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::services::clock::{ActivityGuard, Clock};
use crate::services::mqtt::message::Message;

/// Number of queued messages of a subscriber above which messages of QoS 0 are dropped.
pub(super) const CAPACITY: usize = 1_000;

/// The receiving end of a subscriber's queue.
pub struct Messages {
    inbox: Arc<Inbox>,
    /// Stops a virtual clock until the next message is taken.
    activity: Option<ActivityGuard>,
}

/// The sending end of a subscriber's queue.
pub(super) struct Sender(Arc<Inbox>);

#[derive(Default)]
struct Inbox {
    queue: Mutex<VecDeque<(Message, Option<ActivityGuard>)>>,
    /// The virtual clock of a sandbox, which stands still while a message is queued.
    clock: Option<Clock>,
    arrived: Notify,
    closed: AtomicBool,
}

/// Creates the two ends of a queue.
pub(super) fn queue(clock: Option<Clock>) -> (Sender, Messages) {
    let inbox = Arc::new(Inbox { clock, ..Inbox::default() });
    (Sender(Arc::clone(&inbox)), Messages { inbox, activity: None })
}

impl Messages {
    /// Waits for the next message; returns `None` after the end of the subscription. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            if self.inbox.closed.load(Ordering::Acquire) {
                return None;
            }
            self.inbox.arrived.notified().await;
        }
    }

    /// Returns the next message if there is one.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.activity = None;
        let (message, activity) = self.inbox.queue.lock().pop_front()?;
        self.activity = activity;
        Some(message)
    }
}

impl Sender {
    /// Enqueues a message and returns whether there was room.
    ///
    /// There is always room for QoS 1 and 2: the receive maximum bounds the number of unacknowledged messages.
    pub(super) fn push(&self, message: Message) -> bool {
        let mut queue = self.0.queue.lock();
        if message.qos == 0 && queue.len() >= CAPACITY {
            return false;
        }
        queue.push_back((message, self.0.clock.as_ref().map(Clock::activity)));
        drop(queue);
        self.0.arrived.notify_one();
        true
    }

    /// Returns whether the queue is at most half full.
    pub(super) fn is_relaxed(&self) -> bool {
        self.0.queue.lock().len() <= CAPACITY / 2
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.arrived.notify_one();
    }
}
