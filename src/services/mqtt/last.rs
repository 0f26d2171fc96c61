//! The last message of each topic that came in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::services::mqtt::message::{AckToken, Message};

const MAX_TOPICS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// The last message of each topic, up to 10,000 topics and 16 MiB; the topic that was silent for longest gives way.
#[derive(Default)]
pub(super) struct LastValues {
    messages: HashMap<String, (u64, Message)>,
    // Topics in the order of their last messages.
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
}

impl LastValues {
    /// Notes a message.
    pub(super) fn note(&mut self, message: &Message) {
        let weight = weight(message);
        if weight > MAX_BYTES {
            return;
        }
        self.forget(&message.topic);
        let message = Message { ack: Arc::new(AckToken::default()), ..message.clone() };
        self.order.insert(self.next, message.topic.clone());
        self.messages.insert(message.topic.clone(), (self.next, message));
        self.next += 1;
        self.bytes += weight;
        while self.bytes > MAX_BYTES || self.messages.len() > MAX_TOPICS {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    /// Returns the last message of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<Message> {
        self.messages.get(topic).map(|(_, message)| message.clone())
    }

    fn forget(&mut self, topic: &str) {
        if let Some((number, message)) = self.messages.remove(topic) {
            self.order.remove(&number);
            self.bytes -= weight(&message);
        }
    }
}

fn weight(message: &Message) -> usize {
    // The payload shares its buffer with what else came in one read, so this is an estimate.
    message.payload.len() + 2 * message.topic.len() + 200
}
