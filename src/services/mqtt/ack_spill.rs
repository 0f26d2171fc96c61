//! Spills messages of slow handlers to disk so that they can be acknowledged early.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::event::ReceivedMessage;
use crate::services::mqtt::pending_writes::{NewMessage, PendingWrites};
use crate::services::mqtt::stored_message::{received_message, received_record};
use crate::services::store::OutboxRecord;

/// Time after which an unprocessed message that blocks the acknowledgement of others is spilled.
pub(super) const SPILL_AFTER: Duration = Duration::from_secs(2);
/// Limits of messages and bytes on disk; beyond them, the receive maximum slows the broker down.
const MAX_MESSAGES: usize = 1_000;
const MAX_BYTES: usize = 64 << 20;

/// Messages that are on disk until they have been processed.
#[derive(Default)]
pub(super) struct AckSpill {
    // Payload sizes of unprocessed messages, by message number.
    sizes: HashMap<u64, usize>,
    bytes: usize,
    pub(super) writes: PendingWrites,
    // Messages that an earlier process had spilled, not yet delivered.
    restored: Vec<OutboxRecord>,
}

impl AckSpill {
    /// Restores the messages that an earlier process had spilled; returns a number that none of them has.
    pub(super) fn restore(&mut self, records: Vec<OutboxRecord>) -> u64 {
        self.writes.enable();
        records.iter().for_each(|record| self.count(record.number, record.payload.len()));
        self.restored = records;
        self.restored.last().map_or(0, |record| record.number + 1)
    }

    /// Takes the messages that an earlier process had spilled, with their numbers.
    pub(super) fn take_restored(&mut self, broker: &Arc<str>) -> Vec<(u64, ReceivedMessage)> {
        let records = std::mem::take(&mut self.restored).into_iter();
        records.map(|record| (record.number, received_message(record, broker))).collect()
    }

    pub(super) fn has_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// Returns whether there is a store, and room for another message in it.
    pub(super) fn has_room(&self) -> bool {
        self.writes.is_enabled() && self.sizes.len() < MAX_MESSAGES && self.bytes < MAX_BYTES
    }

    /// Enqueues a message to be written to disk.
    pub(super) fn insert(&mut self, number: u64, message: &ReceivedMessage) {
        self.count(number, message.payload.len());
        self.writes.insert(NewMessage::Record(received_record(number, message)));
    }

    /// Deletes a message that has been processed, if it was spilled.
    pub(super) fn remove(&mut self, number: u64) {
        if self.discard(number) {
            self.writes.delete(number);
        }
    }

    /// Removes a message that could not be written; returns whether it was there.
    pub(super) fn discard(&mut self, number: u64) -> bool {
        let size = self.sizes.remove(&number);
        self.bytes -= size.unwrap_or(0);
        size.is_some()
    }

    fn count(&mut self, number: u64, size: usize) {
        self.bytes += size;
        self.sizes.insert(number, size);
    }
}

/// Returns the name of the store's queue of messages spilled from a broker.
pub(super) fn queue_name(broker: &str) -> String {
    format!("from {broker}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::services::store::OutboxChange;
    use crate::value::map_of;

    #[test]
    fn a_spilled_message_is_restored_unchanged() {
        let properties = map_of([("content_type".into(), "text/plain".into())]);
        let before = ReceivedMessage {
            topic: "温度/1".into(),
            payload: vec![0, 255].into(),
            qos: 2,
            retain: false,
            dup: true,
            broker: "house".into(),
            properties,
            received: Timestamp::from_microsecond(1_800_000_000_123_456).unwrap(),
        };
        let mut spill = AckSpill::default();
        assert!(!spill.has_room(), "there is no store");
        assert_eq!(spill.restore(Vec::new()), 0);
        spill.insert(7, &before);
        let Some(OutboxChange::Insert(record)) = spill.writes.take().pop() else { panic!("it is not written") };
        let mut later = AckSpill::default();
        assert_eq!(later.restore(vec![record]), 8);
        let (number, after) = later.take_restored(&"house".into()).remove(0);
        assert_eq!((number, format!("{after:?}")), (7, format!("{before:?}")));
        later.remove(7);
        later.remove(7);
        assert_eq!(later.writes.take(), [OutboxChange::Delete { number: 7 }]);
    }
}
