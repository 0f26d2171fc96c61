//! Inflight messages of QoS 1 and 2, and packet identifiers.

use std::collections::VecDeque;

use ahash::AHashSet;

use crate::services::mqtt::outbox::entry::OutboxEntry;
use crate::services::mqtt::wire::Outgoing;

/// Messages of QoS 1 and 2 that are sent and not yet acknowledged, in the order in which they were sent.
pub(super) struct Inflight {
    // `max_inflight` of the config, and the limit on this connection.
    configured_limit: u16,
    limit: u16,
    entries: VecDeque<InflightEntry>,
    // Packet identifiers in use, also of messages that have one but are not sent yet.
    packet_ids: AHashSet<u16>,
    pub(super) next_packet_id: u16,
}

/// A message that is sent and not yet acknowledged.
pub(super) struct InflightEntry {
    pub(super) packet_id: u16,
    pub(super) entry: OutboxEntry,
    /// QoS 2: whether the broker has sent PUBREC.
    pub(super) has_pubrec: bool,
    /// QoS 2: whether that is on disk, so that PUBREL may be sent.
    pub(super) may_release: bool,
}

impl Inflight {
    pub(super) fn new(limit: u16) -> Self {
        Self {
            configured_limit: limit,
            limit,
            entries: VecDeque::new(),
            packet_ids: AHashSet::new(),
            next_packet_id: 1,
        }
    }

    /// Sets the limit for a connection.
    pub(super) fn set_receive_maximum(&mut self, receive_maximum: Option<u16>) {
        self.limit = receive_maximum.unwrap_or(self.configured_limit).clamp(1, self.configured_limit);
    }

    /// Returns how many more messages may be sent now.
    pub(super) fn room(&self) -> usize {
        usize::from(self.limit).saturating_sub(self.entries.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.entries.iter().map(|inflight| &inflight.entry)
    }

    pub(super) fn push(&mut self, inflight: InflightEntry) {
        self.packet_ids.insert(inflight.packet_id);
        self.entries.push_back(inflight);
    }

    pub(super) fn get_mut(&mut self, packet_id: u16) -> Option<&mut InflightEntry> {
        self.entries.iter_mut().find(|inflight| inflight.packet_id == packet_id)
    }

    /// Returns the entry of a message, by its number.
    pub(super) fn numbered_mut(&mut self, number: u64) -> Option<&mut InflightEntry> {
        self.entries.iter_mut().find(|inflight| inflight.entry.number == number)
    }

    /// Removes the message with this packet identifier if `is_it`, and frees the identifier.
    pub(super) fn remove(&mut self, packet_id: u16, is_it: impl Fn(&InflightEntry) -> bool) -> Option<OutboxEntry> {
        let at = self.entries.iter().position(|inflight| inflight.packet_id == packet_id && is_it(inflight))?;
        self.packet_ids.remove(&packet_id);
        self.entries.remove(at).map(|inflight| inflight.entry)
    }

    /// Removes all messages; their packet identifiers stay in use.
    pub(super) fn take_all(&mut self) -> Vec<InflightEntry> {
        self.entries.drain(..).collect()
    }

    /// Returns the packets that continue a resumed session: PUBLISH with the DUP flag, or PUBREL.
    pub(super) fn packets_to_resend(&self) -> Vec<Outgoing> {
        let packet = |inflight: &InflightEntry| match (inflight.has_pubrec, inflight.may_release) {
            (_, true) => Some(Outgoing::PubRel(inflight.packet_id)),
            // PUBREL follows as soon as the receipt is on disk.
            (true, false) => None,
            _ => {
                let publish = (*inflight.entry.publish).clone();
                Some(Outgoing::Publish { publish, id: inflight.packet_id, dup: true })
            }
        };
        self.entries.iter().filter_map(packet).collect()
    }

    /// Returns a packet identifier that is not in use, here or elsewhere (`is_used`).
    pub(super) fn free_packet_id(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        loop {
            let id = self.next_packet_id;
            self.next_packet_id = if id == u16::MAX { 1 } else { id + 1 };
            if !is_used(id) && !self.packet_ids.contains(&id) {
                return id;
            }
        }
    }

    /// Returns a free packet identifier, which is in use from now on.
    pub(super) fn reserve_packet_id(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        let packet_id = self.free_packet_id(is_used);
        self.packet_ids.insert(packet_id);
        packet_id
    }

    /// Frees a packet identifier.
    pub(super) fn release_packet_id(&mut self, packet_id: u16) {
        self.packet_ids.remove(&packet_id);
    }
}
