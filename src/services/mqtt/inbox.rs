//! The bounded queue between a connection and one of its subscribers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::services::clock::{ActivityGuard, Clock};
use crate::services::mqtt::message::Message;

/// How many messages wait for a subscriber before those with QoS 0 are dropped.
pub(super) const CAPACITY: usize = 1_000;

/// The subscriber's end: what came in.
pub struct Messages {
    inbox: Arc<Inbox>,
    /// Holds a hand-turned clock until the next message is asked for.
    activity: Option<ActivityGuard>,
}

/// The connection's end.
pub(super) struct Sender(Arc<Inbox>);

#[derive(Default)]
struct Inbox {
    queue: Mutex<VecDeque<(Message, Option<ActivityGuard>)>>,
    /// The clock of a held world, which does not move on while a message waits to be taken.
    clock: Option<Clock>,
    arrived: Notify,
    closed: AtomicBool,
}

/// Makes the two ends of a queue.
pub(super) fn queue(clock: Option<Clock>) -> (Sender, Messages) {
    let inbox = Arc::new(Inbox { clock, ..Inbox::default() });
    (Sender(Arc::clone(&inbox)), Messages { inbox, activity: None })
}

impl Messages {
    /// Waits for the next message; `None` when no more will come. Cancel-safe.
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
    /// Puts a message in and returns whether it had room.
    ///
    /// A message that must be confirmed always has: the broker sends no more of those than it lets be open at a time.
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
