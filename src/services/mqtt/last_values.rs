//! The last message received on each topic.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;

use crate::event::ReceivedMessage;

const MAX_TOPICS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// The last message of each topic, up to 10,000 topics and 16 MiB; the topic without messages for longest is evicted.
#[derive(Default)]
pub(super) struct LastValues {
    messages: AHashMap<String, (u64, Arc<ReceivedMessage>)>,
    /// Messages by age with their numbers, also some that newer ones of their topics have replaced.
    order: VecDeque<(u64, Arc<ReceivedMessage>)>,
    next_number: u64,
    bytes: usize,
}

impl LastValues {
    /// Stores a message as the last one of its topic.
    pub(super) fn insert(&mut self, message: &Arc<ReceivedMessage>) {
        let size = size(message);
        if size > MAX_BYTES {
            return;
        }
        let entry = (self.next_number, message.clone());
        self.next_number += 1;
        self.order.push_back(entry.clone());
        match self.messages.get_mut(&message.topic) {
            Some(last) => self.bytes -= self::size(&std::mem::replace(last, entry).1),
            None => drop(self.messages.insert(message.topic.clone(), entry)),
        }
        self.bytes += size;
        self.evict();
    }

    /// Returns the last message of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<Arc<ReceivedMessage>> {
        self.messages.get(topic).map(|(_, message)| message.clone())
    }

    fn evict(&mut self) {
        while let Some((number, oldest)) = self.order.front() {
            let is_replaced = self.messages.get(&oldest.topic).is_none_or(|(last, _)| last != number);
            if !is_replaced && self.bytes <= MAX_BYTES && self.messages.len() <= MAX_TOPICS {
                break;
            }
            if !is_replaced {
                self.bytes -= size(oldest);
                self.messages.remove(&oldest.topic);
            }
            self.order.pop_front();
        }
        // Replaced messages behind the oldest one are dropped in one pass, before they outnumber the others.
        if self.order.len() > 2 * self.messages.len() + 16 {
            let messages = &self.messages;
            self.order.retain(|(number, old)| messages.get(&old.topic).is_some_and(|(last, _)| last == number));
        }
    }
}

fn size(message: &ReceivedMessage) -> usize {
    // An estimate: a long payload shares its buffer with the other packets of one read.
    message.payload.len() + 2 * message.topic.len() + 200
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::mqtt::registry::tests::received;

    #[test]
    fn the_topic_without_messages_for_longest_is_evicted() {
        let mut last = LastValues::default();
        let insert = |last: &mut LastValues, topic: String| {
            last.insert(&Arc::new(ReceivedMessage { topic, ..received("x") }));
        };
        for number in 0..MAX_TOPICS {
            insert(&mut last, number.to_string());
            insert(&mut last, "busy".into());
        }
        assert!(last.get("busy").is_some() && last.get("1").is_some());
        assert!(last.get("0").is_none(), "one topic too many");
        assert!(last.order.len() <= 2 * MAX_TOPICS + 16, "{} entries", last.order.len());
        assert_eq!(last.bytes, last.messages.values().map(|(_, message)| size(message)).sum::<usize>());
    }

    #[test]
    fn large_messages_are_evicted_by_size() {
        let mut last = LastValues::default();
        for topic in ["a", "b", "c"] {
            let payload = vec![0; MAX_BYTES / 5 * 2].into();
            last.insert(&Arc::new(ReceivedMessage { topic: topic.into(), payload, ..received("") }));
        }
        assert!(last.get("a").is_none() && last.get("b").is_some() && last.get("c").is_some());
    }
}
