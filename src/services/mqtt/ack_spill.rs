//! Messages whose handlers take long: on disk, so that they can be confirmed and hold back nothing that came after them.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::services::mqtt::message::{AckToken, Message};
use crate::services::store::{OutboxChange, OutboxRecord};
use crate::value::Value;

/// How long the oldest message may be worked on before it is set aside, if others came after it.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How many messages, and how many bytes of them, are aside at most; then the broker's window holds back what comes.
const MOST: (usize, usize) = (1_000, 64 << 20);

/// Messages that are on disk until they have had their effect.
#[derive(Default)]
pub(super) struct AckSpill {
    // The sizes of those that have not, by the numbers of their debts.
    sizes: HashMap<u64, usize>,
    bytes: usize,
    // What is to be written, if there is a disk.
    changes: Option<Vec<OutboxChange>>,
    // What an earlier process had set aside: nobody has been told yet.
    left: Vec<OutboxRecord>,
}

impl AckSpill {
    /// Takes up what an earlier process had set aside; returns a number that none of it has.
    pub(super) fn restore(&mut self, left: Vec<OutboxRecord>) -> u64 {
        self.changes = Some(Vec::new());
        left.iter().for_each(|letter| self.count(letter.number, letter.payload.len()));
        self.left = left;
        self.left.last().map_or(0, |letter| letter.number + 1)
    }

    /// Returns the messages that an earlier process had set aside, the first time.
    pub(super) fn take_left(&mut self, broker: &str) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.left).into_iter().map(|letter| (letter.number, message(letter, broker))).collect()
    }

    /// Returns whether an earlier process had set something aside.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.changes.is_some() && self.sizes.len() < MOST.0 && self.bytes < MOST.1
    }

    /// Has a message written to disk.
    pub(super) fn keep(&mut self, number: u64, message: &Message) {
        self.count(number, message.payload.len());
        let letter = letter(number, message);
        self.changes.iter_mut().for_each(|changes| changes.push(OutboxChange::Insert(letter.clone())));
    }

    /// Has a message forgotten, if it is one of these.
    pub(super) fn forget(&mut self, number: u64) {
        if let Some(size) = self.sizes.remove(&number) {
            self.bytes -= size;
            self.changes.iter_mut().for_each(|changes| changes.push(OutboxChange::Delete { number }));
        }
    }

    /// Gives up a message that could not be written.
    pub(super) fn lose(&mut self, number: u64) {
        if let Some(size) = self.sizes.remove(&number) {
            self.bytes -= size;
        }
    }

    pub(super) fn has_changes(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// Takes what is to be written to disk, in order.
    pub(super) fn take_changes(&mut self) -> Vec<OutboxChange> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn count(&mut self, number: u64, size: usize) {
        self.bytes += size;
        self.sizes.insert(number, size);
    }
}

/// Returns the name of the box in which messages from a broker are.
pub(super) fn name(broker: &str) -> String {
    format!("from {broker}")
}

fn letter(number: u64, message: &Message) -> OutboxRecord {
    let more = (message.received.as_microsecond(), Value::Map(message.properties.clone()).to_stored());
    OutboxRecord {
        number,
        topic: message.topic.clone(),
        payload: message.payload.to_vec(),
        qos: message.qos,
        retain: message.retain,
        properties: serde_json::to_string(&more).unwrap_or_default(),
        packet: None,
        received: true,
    }
}

fn message(letter: OutboxRecord, broker: &str) -> Message {
    let more: Option<(i64, serde_json::Value)> = serde_json::from_str(&letter.properties).ok();
    let (received, properties) = more.unwrap_or_default();
    Message {
        topic: letter.topic,
        payload: letter.payload.into(),
        qos: letter.qos,
        retain: letter.retain,
        dup: true,
        broker: broker.to_owned(),
        properties: match Value::from_stored(properties) {
            Value::Map(properties) => properties,
            _ => crate::value::Map::new(),
        },
        received: Timestamp::from_microsecond(received).unwrap_or_default(),
        ack: std::sync::Arc::new(AckToken::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn what_is_set_aside_comes_back_as_it_was() {
        let properties = map_of([("content_type".into(), "text/plain".into())]);
        let before = Message {
            topic: "温度/1".into(),
            payload: vec![0, 255].into(),
            qos: 2,
            retain: false,
            dup: true,
            broker: "house".into(),
            properties,
            received: Timestamp::from_microsecond(1_800_000_000_123_456).unwrap(),
            ack: std::sync::Arc::default(),
        };
        let mut aside = AckSpill::default();
        assert!(!aside.has_room(), "there is no disk");
        assert_eq!(aside.restore(Vec::new()), 0);
        aside.keep(7, &before);
        let Some(OutboxChange::Insert(letter)) = aside.take_changes().pop() else { panic!("it is not written") };
        let mut later = AckSpill::default();
        assert_eq!(later.restore(vec![letter]), 8);
        let (number, after) = later.take_left("house").remove(0);
        assert_eq!((number, format!("{after:?}")), (7, format!("{before:?}")));
        later.forget(7);
        later.forget(7);
        assert_eq!(later.take_changes(), [OutboxChange::Delete { number: 7 }]);
    }
}
