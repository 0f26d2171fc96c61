//! The last message received on each topic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::services::mqtt::ack_token::AckToken;
use crate::services::mqtt::message::Message;

const MAX_TOPICS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// The last message of each topic, up to 10,000 topics and 16 MiB; the topic without messages for longest is evicted.
#[derive(Default)]
pub(super) struct LastValues {
    messages: HashMap<String, (u64, Message)>,
    // Topics, ordered by their last messages.
    order: BTreeMap<u64, String>,
    next_number: u64,
    bytes: usize,
}

impl LastValues {
    /// Stores a message as the last one of its topic.
    pub(super) fn insert(&mut self, message: &Message) {
        let size = size(message);
        if size > MAX_BYTES {
            return;
        }
        self.remove(&message.topic);
        let message = Message { ack: Arc::new(AckToken::default()), ..message.clone() };
        self.order.insert(self.next_number, message.topic.clone());
        self.messages.insert(message.topic.clone(), (self.next_number, message));
        self.next_number += 1;
        self.bytes += size;
        while self.bytes > MAX_BYTES || self.messages.len() > MAX_TOPICS {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    /// Returns the last message of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<Message> {
        self.messages.get(topic).map(|(_, message)| message.clone())
    }

    fn remove(&mut self, topic: &str) {
        if let Some((number, message)) = self.messages.remove(topic) {
            self.order.remove(&number);
            self.bytes -= size(&message);
        }
    }
}

fn size(message: &Message) -> usize {
    // An estimate: the payload shares its buffer with the other packets of one read.
    message.payload.len() + 2 * message.topic.len() + 200
}
