//! Sends an event for each message of a subscription.

use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use crate::event::{Ack, Event, MessagePayload, ReceivedMessage, SenderAck};
use crate::run::Skip;
use crate::services::mqtt::{Message, MessageSink};
use crate::topic::Filter;
use crate::triggers::event_sender::EventSender;

/// Minimum number of topics that `changed` tracks.
pub(super) const MIN_TRACKED: usize = 10_000;

/// Forwards the messages of one subscription to the sender.
pub(super) struct MessageListener {
    pub(super) filters: Arc<[Filter]>,
    /// Last payloads, if the option `changed` is set.
    pub(super) changed: Option<Mutex<LastPayloads>>,
    pub(super) skips_retained: bool,
    pub(super) zone: TimeZone,
    pub(super) sender: EventSender,
}

impl MessageSink for MessageListener {
    fn receive(&self, messages: Vec<Message>) {
        let mut events = Vec::with_capacity(messages.len());
        for message in messages {
            let skip = self.skip(&message);
            let event = self.event(message);
            match skip {
                None => events.push(event),
                Some(reason) => {
                    self.sender.tell_all(std::mem::take(&mut events));
                    self.sender.skip(event, reason);
                }
            }
        }
        self.sender.tell_all(events);
    }
}

impl MessageListener {
    /// Returns why a message does not start a run, if it does not.
    fn skip(&self, message: &Message) -> Option<Skip> {
        if message.retain && self.skips_retained {
            return Some(Skip::Retained);
        }
        let is_unchanged = self.changed.as_ref().is_some_and(|changed| !changed.lock().is_changed(message));
        is_unchanged.then_some(Skip::Unchanged)
    }

    fn event(&self, message: Message) -> Event {
        let Message { data, qos, ack } = message;
        let payload = MessagePayload::new(data, qos, self.filters.clone(), self.zone.clone());
        Event::of_message(payload, ack.map(|ack| Ack::Sender(ack as Arc<dyn SenderAck>)))
    }
}

/// Hashes of the last payloads by topic, in two generations: when the young one is full, it replaces the old one.
#[derive(Default)]
pub(super) struct LastPayloads {
    hasher: RandomState,
    pub(super) young: AHashMap<String, u64>,
    pub(super) old: AHashMap<String, u64>,
}

impl LastPayloads {
    /// Returns whether the payload differs from the last one of the topic, and stores it.
    pub(super) fn is_changed(&mut self, message: &ReceivedMessage) -> bool {
        let hash = self.hasher.hash_one(&message.payload);
        if let Some(last) = self.young.get_mut(&message.topic) {
            return std::mem::replace(last, hash) != hash;
        }
        let last = self.old.remove(&message.topic);
        if self.young.len() >= MIN_TRACKED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(message.topic.clone(), hash);
        last != Some(hash)
    }
}
