//! The outbox and the store: messages of an earlier process, pending writes and their results.

use std::sync::Arc;

use crate::services::mqtt::error::Error;
use crate::services::mqtt::outbox::entry::OutboxEntry;
use crate::services::mqtt::outbox::inflight::InflightEntry;
use crate::services::mqtt::outbox::queue::Outbox;
use crate::services::mqtt::pending_writes::{PendingWrites, Written};
use crate::services::mqtt::stored_message::outgoing_message;
use crate::services::mqtt::wire::Outgoing;
use crate::services::store::{OutboxChange, OutboxRecord};

impl Outbox {
    /// Restores the durable messages of an earlier process; from now on, durable messages are stored.
    pub(in crate::services::mqtt) fn restore(&mut self, records: Vec<OutboxRecord>) {
        self.writes.enable();
        for record in records {
            self.next_number = record.number + 1;
            let (packet_id, received) = (record.packet, record.received);
            let entry = OutboxEntry {
                number: record.number,
                publish: Arc::new(outgoing_message(record)),
                on_delivered: None,
                on_stored: None,
                is_stored: true,
                packet_id,
                is_packet_id_stored: packet_id.is_some(),
            };
            match packet_id {
                Some(packet_id) => {
                    self.inflight.push(InflightEntry { packet_id, entry, has_pubrec: received, may_release: received });
                }
                None => {
                    self.bytes += entry.publish.size();
                    self.queue.push_back(entry);
                }
            }
        }
    }

    /// Assigns packet identifiers to the messages of QoS 2 that are sent next, to be written to disk.
    pub(super) fn assign_packet_ids(&mut self, is_used: impl Fn(u16) -> bool) {
        let room = self.inflight.room();
        for entry in self.queue.iter_mut().take(room) {
            if entry.publish.qos == 2 && entry.is_stored && entry.packet_id.is_none() {
                let packet = self.inflight.reserve_packet_id(&is_used);
                entry.packet_id = Some(packet);
                self.writes.push(OutboxChange::AssignPacketId { number: entry.number, packet });
            }
        }
    }

    /// Marks the messages to be stored as urgent: a caller waits for them.
    pub(in crate::services::mqtt) fn flush_now(&mut self) {
        self.writes.flush_now();
    }

    /// Returns the changes that wait to be written to disk.
    pub(in crate::services::mqtt) fn writes(&self) -> &PendingWrites {
        &self.writes
    }

    /// Takes the changes to be written to disk, in order.
    pub(in crate::services::mqtt) fn take_writes(&mut self) -> Vec<OutboxChange> {
        self.writes.take()
    }

    /// Records the result of writing changes; returns the packets that may be sent because of it.
    ///
    /// A queued message that cannot be stored fails if a caller waits for that; an inflight one continues without the store.
    pub(in crate::services::mqtt) fn writes_finished(
        &mut self,
        written: &[Written],
        outcome: &Result<(), Error>,
    ) -> Vec<Outgoing> {
        let mut releases = Vec::new();
        for change in written {
            match change {
                Written::Message(number) => self.store_finished(*number, outcome),
                Written::PacketId(number) => {
                    if let Some(at) = self.position(*number) {
                        self.queue[at].is_packet_id_stored = true;
                    }
                }
                Written::Received(number) => {
                    let inflight = self.inflight.numbered_mut(*number).filter(|inflight| inflight.has_pubrec);
                    releases.extend(inflight.map(|inflight| {
                        inflight.may_release = true;
                        Outgoing::PubRel(inflight.packet_id)
                    }));
                }
            }
        }
        releases
    }

    fn store_finished(&mut self, number: u64, outcome: &Result<(), Error>) {
        let at = self.position(number);
        let entry = match at {
            Some(at) => self.queue.get_mut(at),
            None => self.inflight.numbered_mut(number).map(|inflight| &mut inflight.entry),
        };
        let Some(entry) = entry else { return };
        entry.is_stored = outcome.is_ok();
        match (at, outcome) {
            (_, Ok(())) => {
                if let Some(on_stored) = entry.on_stored.take() {
                    on_stored.complete(Ok(()));
                }
            }
            (Some(at), Err(_)) if entry.on_stored.is_some() => {
                if let Some(entry) = self.queue.remove(at) {
                    self.bytes -= entry.publish.size();
                    self.finish(entry, outcome.clone());
                }
            }
            _ => {}
        }
    }

    /// Returns the place of a message in the queue, by its number.
    fn position(&self, number: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&number, |entry| entry.number).ok()
    }
}
