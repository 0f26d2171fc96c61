//! Pending PUBACKs and PUBRECs of one session, sent in arrival order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ahash::{AHashMap, AHashSet};

use crate::event::ReceivedMessage;
use crate::services::mqtt::ack_queue::AckQueue;
use crate::services::mqtt::ack_spill::{AckSpill, SPILL_AFTER};
use crate::services::mqtt::message::fingerprint;
use crate::services::store::OutboxRecord;

/// An acknowledgement that is ready to be sent, with its packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// QoS 1.
    PubAck(u16),
    /// QoS 2.
    PubRec(u16),
}

/// Classification of a received message of QoS 1 or 2.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A new message, with its number.
    New(u64),
    /// A message that was received before and is being processed, or is processed: it is not delivered again.
    Repeated,
}

/// Pending acknowledgements of one session.
///
/// Source: MQTT 3.1.1, sections 4.3 (delivery) and 4.6 (acknowledgements are sent in the order of the messages).
#[derive(Default)]
pub(super) struct PendingAcks {
    next_number: u64,
    // Messages of this connection, in arrival order.
    queue: VecDeque<PendingAck>,
    // The packet identifiers of those.
    packet_ids: AHashSet<u16>,
    // Messages of earlier connections, acknowledged once the broker has sent them again.
    earlier: AHashMap<u16, PendingAck>,
    // QoS 2: PUBREC sent, PUBREL not yet received.
    unreleased: AHashSet<u16>,
    // QoS 2: messages sent again whose PUBREC is to be sent again.
    repeated_pubrecs: Vec<u16>,
    pub(super) spill: AckSpill,
}

struct PendingAck {
    number: u64,
    packet_id: u16,
    qos: u8,
    fingerprint: u64,
    is_completed: bool,
    since: Instant,
    // The message, until it is spilled.
    message: Option<Arc<ReceivedMessage>>,
    is_spilling: bool,
    // Whether it is on disk, so that it may be acknowledged before it is processed.
    is_spilled: bool,
}

impl PendingAcks {
    /// Registers a received message of QoS 1 or 2.
    pub(super) fn arrived(&mut self, packet_id: u16, qos: u8, topic: &str, payload: &[u8]) -> Arrival {
        if qos == 2 && self.unreleased.contains(&packet_id) {
            self.repeated_pubrecs.push(packet_id);
            return Arrival::Repeated;
        }
        let fingerprint = fingerprint(topic, payload);
        if !self.packet_ids.insert(packet_id)
            && let Some(at) = self.queue.iter().position(|pending| pending.packet_id == packet_id)
        {
            // The broker repeats the message on one connection: it keeps its place in the queue.
            if self.queue[at].fingerprint == fingerprint {
                return Arrival::Repeated;
            }
            self.queue.remove(at);
        }
        match self.earlier.remove(&packet_id) {
            Some(pending) if pending.fingerprint == fingerprint => {
                self.queue.push_back(pending);
                Arrival::Repeated
            }
            _ => {
                let number = self.next_number;
                self.next_number += 1;
                self.queue.push_back(PendingAck {
                    number,
                    packet_id,
                    qos,
                    fingerprint,
                    is_completed: false,
                    since: Instant::now(),
                    message: None,
                    is_spilling: false,
                    is_spilled: false,
                });
                Arrival::New(number)
            }
        }
    }

    /// Restores the messages that an earlier process had spilled.
    pub(super) fn restore(&mut self, records: Vec<OutboxRecord>) {
        self.next_number = self.spill.restore(records);
    }

    /// Keeps a copy of the newest message, in case it has to be spilled.
    pub(super) fn retain_message(&mut self, message: &Arc<ReceivedMessage>) {
        if let Some(pending) = self.queue.back_mut() {
            pending.message = Some(message.clone());
        }
    }

    /// Returns since when the oldest unprocessed message has blocked the acknowledgement of others, if it can be spilled.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        let can_spill = self.queue.len() > 1 && self.spill.has_room();
        let mut unprocessed = self.queue.iter().filter(|pending| !pending.is_completed && !pending.is_spilling);
        let oldest = unprocessed.next().filter(|_| can_spill)?;
        oldest.message.is_some().then_some(oldest.since)
    }

    /// Spills the messages that have blocked the acknowledgement of others for [`SPILL_AFTER`].
    pub(super) fn spill_overdue(&mut self, now: Instant) {
        while let Some(since) = self.blocked_since()
            && now.saturating_duration_since(since) >= SPILL_AFTER
        {
            let mut all = self.queue.iter_mut();
            let Some(pending) = all.find(|pending| !pending.is_completed && !pending.is_spilling) else { return };
            let Some(message) = pending.message.take() else { return };
            pending.is_spilling = true;
            self.spill.insert(pending.number, &message);
        }
    }

    /// Records whether spilled messages are on disk, so that they may be acknowledged.
    pub(super) fn spill_finished(&mut self, numbers: &[u64], is_on_disk: bool) {
        let all = self.queue.iter_mut().chain(self.earlier.values_mut());
        for pending in all.filter(|pending| numbers.contains(&pending.number)) {
            pending.is_spilled = is_on_disk;
        }
        if !is_on_disk {
            for number in numbers {
                self.spill.discard(*number);
            }
        }
    }

    /// Takes completed messages from the queue, and returns the acknowledgements that may be sent now, in order.
    pub(super) fn take_ready(&mut self, acks: &AckQueue) -> Vec<Acknowledgement> {
        for number in acks.take() {
            self.spill.remove(number);
            if let Some(pending) = self.numbered_mut(number) {
                (pending.is_completed, pending.message) = (true, None);
            }
        }
        let mut ready: Vec<_> = self.repeated_pubrecs.drain(..).map(Acknowledgement::PubRec).collect();
        while self.queue.front().is_some_and(|pending| pending.is_completed || pending.is_spilled) {
            let Some(pending) = self.queue.pop_front() else { break };
            self.packet_ids.remove(&pending.packet_id);
            ready.push(if pending.qos == 2 {
                self.unreleased.insert(pending.packet_id);
                Acknowledgement::PubRec(pending.packet_id)
            } else {
                Acknowledgement::PubAck(pending.packet_id)
            });
        }
        ready
    }

    fn numbered_mut(&mut self, number: u64) -> Option<&mut PendingAck> {
        // Numbers are consecutive, unless messages of an earlier connection or repeated ones are in between.
        let guess = self.queue.front().and_then(|first| usize::try_from(number.checked_sub(first.number)?).ok());
        if let Some(at) = guess.filter(|at| self.queue.get(*at).is_some_and(|pending| pending.number == number)) {
            return self.queue.get_mut(at);
        }
        let mut all = self.queue.iter_mut().chain(self.earlier.values_mut());
        all.find(|pending| pending.number == number)
    }

    /// Records a PUBREL; the response is always PUBCOMP.
    pub(super) fn pubrel_received(&mut self, packet_id: u16) {
        self.unreleased.remove(&packet_id);
    }

    /// Starts a connection. Without session present, all pending acknowledgements are void.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.repeated_pubrecs.clear();
        self.packet_ids.clear();
        if session_present {
            self.earlier.extend(self.queue.drain(..).map(|pending| (pending.packet_id, pending)));
        } else {
            self.queue.clear();
            self.earlier.clear();
            self.unreleased.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::mqtt::registry::tests::received;
    use crate::services::store::OutboxChange;

    fn arrive(pending: &mut PendingAcks, packet_id: u16, qos: u8) -> u64 {
        match pending.arrived(packet_id, qos, "t", &packet_id.to_be_bytes()) {
            Arrival::New(number) => number,
            Arrival::Repeated => panic!("packet {packet_id} was taken for a repeat"),
        }
    }

    #[test]
    fn acknowledgements_are_sent_in_arrival_order() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        let numbers: Vec<_> = [(5, 1), (6, 2), (7, 1)].map(|(id, qos)| arrive(&mut pending, id, qos)).into();
        acks.complete(numbers[2]);
        acks.complete(numbers[1]);
        assert_eq!(pending.take_ready(&acks), []);
        acks.complete(numbers[0]);
        use Acknowledgement::{PubAck, PubRec};
        assert_eq!(pending.take_ready(&acks), [PubAck(5), PubRec(6), PubAck(7)]);
    }

    #[test]
    fn a_message_that_is_sent_again_while_it_is_processed_is_not_delivered_again() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        let number = arrive(&mut pending, 1, 1);
        pending.connected(true);
        acks.complete(number);
        assert_eq!(pending.take_ready(&acks), [], "not before the broker has sent it on this connection");
        assert_eq!(pending.arrived(1, 1, "t", &1_u16.to_be_bytes()), Arrival::Repeated);
        assert_eq!(pending.take_ready(&acks), [Acknowledgement::PubAck(1)]);
    }

    #[test]
    fn a_token_of_a_lost_session_acknowledges_nothing() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        let old = arrive(&mut pending, 1, 1);
        pending.connected(false);
        arrive(&mut pending, 1, 1);
        acks.complete(old);
        assert_eq!(pending.take_ready(&acks), []);
    }

    #[test]
    fn a_reused_packet_identifier_is_a_new_message() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        let old = arrive(&mut pending, 1, 1);
        pending.connected(true);
        assert!(matches!(pending.arrived(1, 1, "t", b"other"), Arrival::New(_)));
        acks.complete(old);
        assert_eq!(pending.take_ready(&acks), []);
    }

    #[test]
    fn a_message_of_qos_2_is_delivered_once_until_it_is_released() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        let number = arrive(&mut pending, 9, 2);
        acks.complete(number);
        assert_eq!(pending.take_ready(&acks), [Acknowledgement::PubRec(9)]);
        pending.connected(true);
        assert_eq!(pending.arrived(9, 2, "t", &9_u16.to_be_bytes()), Arrival::Repeated);
        assert_eq!(pending.take_ready(&acks), [Acknowledgement::PubRec(9)]);
        pending.pubrel_received(9);
        arrive(&mut pending, 9, 2);
    }

    #[test]
    fn a_message_with_a_slow_handler_is_spilled_and_blocks_no_other() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        pending.restore(Vec::new());
        let slow = arrive(&mut pending, 1, 1);
        pending.retain_message(&Arc::new(received("slow")));
        let later = Instant::now() + SPILL_AFTER;
        pending.spill_overdue(later);
        assert!(pending.spill.writes.is_empty(), "it blocks no other");
        let quick = arrive(&mut pending, 2, 1);
        acks.complete(quick);
        assert_eq!(pending.take_ready(&acks), []);
        pending.spill_overdue(later);
        assert!(matches!(&pending.spill.writes.take()[..], [OutboxChange::Insert(record)] if record.number == slow));
        assert_eq!(pending.take_ready(&acks), [], "it is not on disk yet");
        pending.spill_finished(&[slow], true);
        assert_eq!(pending.take_ready(&acks), [Acknowledgement::PubAck(1), Acknowledgement::PubAck(2)]);
        acks.complete(slow);
        assert_eq!(pending.take_ready(&acks), []);
        assert_eq!(pending.spill.writes.take(), [OutboxChange::Delete { number: slow }]);
    }

    #[test]
    fn a_message_that_cannot_be_spilled_stays_pending() {
        let (mut pending, acks) = (PendingAcks::default(), AckQueue::default());
        pending.restore(Vec::new());
        let numbers: Vec<_> = [1, 2].map(|packet_id| arrive(&mut pending, packet_id, 1)).into();
        pending.queue[0].message = Some(Arc::new(received("slow")));
        pending.spill_overdue(Instant::now() + SPILL_AFTER);
        pending.spill.writes.take();
        pending.spill_finished(&numbers[..1], false);
        acks.complete(numbers[1]);
        assert_eq!(pending.take_ready(&acks), []);
        assert_eq!(pending.blocked_since(), None, "it is not tried again");
        acks.complete(numbers[0]);
        assert_eq!(pending.take_ready(&acks), [Acknowledgement::PubAck(1), Acknowledgement::PubAck(2)]);
        assert!(pending.spill.writes.is_empty());
    }
}
