//! The outbox: a bounded queue in front of the inflight messages.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::services::mqtt::error::Error;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::outbox::entry::{Completion, OutboxEntry};
use crate::services::mqtt::outbox::inflight::{Inflight, InflightEntry};
use crate::services::mqtt::pending_writes::{NewMessage, PendingWrites};
use crate::services::mqtt::store_tracker::StoredSignal;
use crate::services::mqtt::wire::{ConnAck, Outgoing};
use crate::services::store::OutboxChange;

/// Limit of the bytes in the queue, whatever the number of messages.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Messages to one broker, sent in the order in which they were published.
pub(in crate::services::mqtt) struct Outbox {
    capacity: usize,
    max_packet: u64,
    pub(super) queue: VecDeque<OutboxEntry>,
    pub(super) bytes: usize,
    // QoS 0: passed to the connection, not yet written to it.
    unwritten: VecDeque<OutboxEntry>,
    pub(super) inflight: Inflight,
    pub(super) next_number: u64,
    pub(super) writes: PendingWrites,
}

impl Outbox {
    /// Creates an outbox that queues `capacity` messages and has at most `max_inflight` messages of QoS 1 and 2 in flight.
    pub(in crate::services::mqtt) fn new(capacity: usize, max_inflight: u16) -> Self {
        Self {
            capacity,
            max_packet: u64::MAX,
            queue: VecDeque::new(),
            bytes: 0,
            unwritten: VecDeque::new(),
            inflight: Inflight::new(max_inflight),
            next_number: 0,
            writes: PendingWrites::default(),
        }
    }

    /// Returns the number of queued messages.
    pub(in crate::services::mqtt) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(in crate::services::mqtt) fn is_full(&self) -> bool {
        let (messages, bytes) = self.room();
        messages == 0 || bytes == 0
    }

    /// Returns how many more messages and bytes may be queued.
    pub(in crate::services::mqtt) fn room(&self) -> (usize, usize) {
        (self.capacity.saturating_sub(self.queue.len()), MAX_BYTES.saturating_sub(self.bytes))
    }

    /// Returns whether no message is queued or in flight.
    pub(in crate::services::mqtt) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.unwritten.is_empty() && self.inflight.is_empty()
    }

    /// Returns how many messages are neither written (QoS 0) or acknowledged (QoS 1 and 2), nor on disk.
    pub(in crate::services::mqtt) fn unsent(&self) -> usize {
        let all = self.queue.iter().chain(&self.unwritten).chain(self.inflight.entries());
        all.filter(|entry| !entry.is_stored).count()
    }

    /// Enqueues a message. `on_delivered` gets the result of its delivery; with `on_stored`, a message of QoS 1 or 2 is durable, and
    /// `on_stored` gets the result of storing it. A message that the broker acknowledges before it is written counts as stored.
    ///
    /// A message of QoS 2 is always stored: without its packet identifier, a restart could send it twice or lose another message.
    pub(in crate::services::mqtt) fn push(
        &mut self,
        publish: Publish,
        on_delivered: Option<Completion>,
        on_stored: Option<StoredSignal>,
    ) {
        let number = self.next_number;
        self.next_number += 1;
        self.bytes += publish.size();
        let is_durable = publish.qos == 2 || (publish.qos == 1 && on_stored.is_some());
        let is_stored = is_durable && self.writes.is_enabled();
        let publish = Arc::new(publish);
        if is_stored {
            self.writes.insert(NewMessage::Outgoing(number, publish.clone()));
        }
        let mut entry = OutboxEntry {
            number,
            publish,
            on_delivered,
            on_stored,
            is_stored,
            packet_id: None,
            is_packet_id_stored: false,
        };
        if let Some(on_stored) = entry.on_stored.take_if(|_| !is_stored) {
            on_stored.complete(Ok(()));
        }
        self.queue.push_back(entry);
    }

    /// Drops the oldest queued message.
    pub(in crate::services::mqtt) fn drop_oldest(&mut self) {
        if let Some(entry) = self.queue.pop_front() {
            self.bytes -= entry.publish.size();
            self.finish(entry, Err(Error::Dropped));
        }
    }

    /// Returns the next PUBLISH, unless the receive maximum is reached or a packet identifier is not yet on disk. `is_used` returns whether
    /// another packet has an identifier.
    pub(in crate::services::mqtt) fn next(&mut self, is_used: impl Fn(u16) -> bool) -> Option<Outgoing> {
        let entry = loop {
            let entry = self.queue.front()?;
            if entry.publish.qos > 0 && self.inflight.room() == 0 {
                return None;
            }
            if entry.publish.qos == 2 && entry.is_stored && !entry.is_packet_id_stored {
                self.assign_packet_ids(is_used);
                return None;
            }
            let entry = self.queue.pop_front()?;
            let size = entry.publish.size();
            self.bytes -= size;
            if size as u64 <= self.max_packet {
                break entry;
            }
            let limit = self.max_packet;
            self.finish(entry, Err(Error::TooLarge { size: size as u64, limit }));
        };
        let publish = (*entry.publish).clone();
        if publish.qos == 0 {
            self.unwritten.push_back(entry);
            return Some(Outgoing::Publish { publish, id: 0, dup: false });
        }
        let id = entry.packet_id.unwrap_or_else(|| self.inflight.free_packet_id(is_used));
        self.inflight.push(InflightEntry { packet_id: id, entry, has_pubrec: false, may_release: false });
        Some(Outgoing::Publish { publish, id, dup: false })
    }

    /// Records that the oldest message of QoS 0 passed to the connection is written.
    pub(in crate::services::mqtt) fn written(&mut self) {
        if let Some(mut entry) = self.unwritten.pop_front() {
            entry.finish(Ok(()));
        }
    }

    /// Ends a connection. Messages of QoS 0 count as delivered from now on; they are sent later.
    pub(in crate::services::mqtt) fn disconnected(&mut self) {
        for entry in self.unwritten.iter_mut().chain(&mut self.queue).filter(|entry| entry.publish.qos == 0) {
            entry.finish(Ok(()));
        }
    }

    /// Returns a packet identifier that is not in use.
    pub(in crate::services::mqtt) fn free_packet_id(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        self.inflight.free_packet_id(is_used)
    }

    /// Records a PUBACK, which may refuse the message with a reason.
    pub(in crate::services::mqtt) fn puback_received(&mut self, packet_id: u16, refusal: Option<String>) {
        self.finish_inflight(packet_id, |inflight| inflight.entry.publish.qos == 1, refusal);
    }

    /// Records a PUBREC, which may refuse the message with a reason; returns whether PUBREL is to be sent now.
    pub(in crate::services::mqtt) fn pubrec_received(&mut self, packet_id: u16, refusal: Option<String>) -> bool {
        if refusal.is_some() {
            self.finish_inflight(packet_id, |inflight| inflight.entry.publish.qos == 2, refusal);
            return false;
        }
        let Some(inflight) = self.inflight.get_mut(packet_id) else { return true };
        let is_first = !std::mem::replace(&mut inflight.has_pubrec, true);
        inflight.may_release |= !inflight.entry.is_stored;
        let (may_release, number) = (inflight.may_release, inflight.entry.number);
        if is_first && !may_release {
            self.writes.push(OutboxChange::MarkReceived { number });
        }
        may_release
    }

    /// Records a PUBCOMP.
    pub(in crate::services::mqtt) fn pubcomp_received(&mut self, packet_id: u16) {
        self.finish_inflight(packet_id, |inflight| inflight.has_pubrec, None);
    }

    /// Starts a connection. With session present, returns the packets that are sent again under their identifiers; in a new session,
    /// inflight messages are queued again, so that none is lost.
    ///
    /// Source: MQTT 3.1.1, section 4.4 [MQTT-4.4.0-1].
    pub(in crate::services::mqtt) fn connected(&mut self, connack: &ConnAck) -> Vec<Outgoing> {
        self.inflight.set_receive_maximum(connack.receive_maximum);
        self.max_packet = connack.max_packet.map_or(u64::MAX, u64::from);
        let mut unsent: Vec<_> = self.unwritten.drain(..).collect();
        if !connack.session_present {
            let inflight = self.inflight.take_all();
            unsent.extend(inflight.into_iter().map(|inflight| self.reset(inflight)));
            unsent.sort_by_key(|entry| entry.number);
        }
        for entry in unsent.into_iter().rev() {
            self.bytes += entry.publish.size();
            self.queue.push_front(entry);
        }
        self.inflight.packets_to_resend()
    }

    /// Prepares an inflight message to be sent in a new session.
    fn reset(&mut self, inflight: InflightEntry) -> OutboxEntry {
        let mut entry = inflight.entry;
        match entry.packet_id {
            // If this process ends now, the next one must not assume that the broker has the message.
            Some(packet) if inflight.has_pubrec => {
                entry.is_packet_id_stored = false;
                self.writes.push(OutboxChange::AssignPacketId { number: entry.number, packet });
            }
            Some(_) => {}
            None => self.inflight.release_packet_id(inflight.packet_id),
        }
        entry
    }

    fn finish_inflight(&mut self, packet_id: u16, is_it: impl Fn(&InflightEntry) -> bool, refusal: Option<String>) {
        if let Some(entry) = self.inflight.remove(packet_id, is_it) {
            self.finish(entry, refusal.map_or(Ok(()), |why| Err(Error::Refused(why))));
        }
    }

    pub(super) fn finish(&mut self, mut entry: OutboxEntry, outcome: Result<(), Error>) {
        if let Some(packet_id) = entry.packet_id {
            self.inflight.release_packet_id(packet_id);
        }
        if entry.is_stored {
            self.writes.delete(entry.number);
        }
        entry.finish(outcome);
    }
}
