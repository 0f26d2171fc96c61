//! Retained messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::{Message, UnixMillis};
use crate::services::mqtt::trie::Trie;

/// Maximum total size of retained messages, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// The retained message of each topic.
#[derive(Default)]
pub(super) struct Retained {
    messages: BTreeMap<String, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    /// Returns whether a message fits into the limit.
    pub(super) fn has_room_for(&self, message: &Message) -> bool {
        self.bytes + message.size() <= MAX_BYTES
    }

    /// Replaces the retained message of a topic, or removes it if the payload is empty. Returns whether anything changed.
    pub(super) fn set(&mut self, message: Arc<Message>) -> bool {
        if message.payload.is_empty() {
            return self.remove(&message.topic);
        }
        self.bytes += message.size();
        if let Some(old) = self.messages.insert(message.topic.clone(), message) {
            self.bytes -= old.size();
        }
        true
    }

    /// Removes a topic's message, and returns whether there was one.
    pub(super) fn remove(&mut self, topic: &str) -> bool {
        let old = self.messages.remove(topic);
        self.bytes -= old.as_ref().map_or(0, |old| old.size());
        old.is_some()
    }

    /// Returns the messages that match a filter, and removes expired ones among them.
    pub(super) fn matching(&mut self, filter: &str, now: UnixMillis) -> Vec<Arc<Message>> {
        let wildcard = filter.find(['+', '#']);
        let candidates: Vec<_> = match wildcard {
            None => self.messages.get(filter).cloned().into_iter().collect(),
            Some(at) => {
                // `a/#` also matches `a`.
                let start = filter[..at].trim_end_matches('/');
                let mut single = Trie::new();
                single.insert(filter, ());
                let in_range =
                    self.messages.range(start.to_owned()..).take_while(|(topic, _)| topic.starts_with(start));
                in_range
                    .filter(|(topic, _)| !single.find(topic).is_empty())
                    .map(|(_, message)| message.clone())
                    .collect()
            }
        };
        let (expired, matching): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|message| message.is_expired(now));
        for message in expired {
            self.remove(&message.topic);
        }
        matching
    }

    /// Returns all messages that have not expired.
    pub(super) fn all(&self, now: UnixMillis) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values().filter(move |message| !message.is_expired(now))
    }
}
