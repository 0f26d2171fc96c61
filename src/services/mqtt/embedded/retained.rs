//! Retained messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::{Message, Moment};
use crate::services::mqtt::trie::Trie;

/// How much all of them may take, in bytes.
const ROOM: usize = 256 << 20;

/// The last message of each topic that was sent to be kept.
#[derive(Default)]
pub(super) struct Retained {
    messages: BTreeMap<String, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    /// Returns whether there is room for one more.
    pub(super) fn has_room_for(&self, message: &Message) -> bool {
        self.bytes + message.size() <= ROOM
    }

    /// Keeps a message instead of the one before; an empty one only takes that away. Returns whether that changed something.
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

    /// Takes a topic's message away, and returns whether there was one.
    pub(super) fn remove(&mut self, topic: &str) -> bool {
        let old = self.messages.remove(topic);
        self.bytes -= old.as_ref().map_or(0, |old| old.size());
        old.is_some()
    }

    /// Returns those that a filter matches; what nobody wants any more is thrown away.
    pub(super) fn matching(&mut self, filter: &str, now: Moment) -> Vec<Arc<Message>> {
        let wild = filter.find(['+', '#']);
        let candidates: Vec<_> = match wild {
            None => self.messages.get(filter).cloned().into_iter().collect(),
            Some(at) => {
                // `a/#` matches `a` too.
                let start = filter[..at].trim_end_matches('/');
                let mut single = Trie::new();
                single.insert(filter, ());
                let near = self.messages.range(start.to_owned()..).take_while(|(topic, _)| topic.starts_with(start));
                near.filter(|(topic, _)| !single.find(topic).is_empty()).map(|(_, message)| message.clone()).collect()
            }
        };
        let (expired, wanted): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|message| message.is_expired(now));
        for message in expired {
            self.remove(&message.topic);
        }
        wanted
    }

    /// Returns all that somebody may still want.
    pub(super) fn all(&self, now: Moment) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values().filter(move |message| !message.is_expired(now))
    }
}
