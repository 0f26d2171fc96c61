//! The session of one client.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::message::{Delivery, UnixMillis};
use super::packet::Will;
use crate::services::mqtt::wire::Version;

/// The session of one client, connected or not.
#[derive(Default)]
pub(super) struct Session {
    /// Session expiry interval, in seconds; 0: ends with the connection.
    pub(super) expiry: u32,
    /// Since when the client is disconnected.
    pub(super) offline_since: Option<UnixMillis>,
    pub(super) connection: Option<ConnectionState>,
    pub(super) will: Option<Will>,
    /// When the will of a disconnected client is published.
    pub(super) will_due: Option<UnixMillis>,
    /// Topic filters, with their entries in the subscription table.
    pub(super) filters: BTreeMap<String, u64>,
    pub(super) queue: SendQueue,
    /// Messages sent and not acknowledged, by sequence number.
    pub(super) inflight: BTreeMap<u64, InflightMessage>,
    /// Total size of the messages in flight.
    pub(super) inflight_bytes: usize,
    /// The packet identifiers of `inflight`.
    pub(super) packet_ids: HashMap<u16, u64>,
    last_packet_id: u16,
    /// Sequence numbers to send again after a reconnect.
    pub(super) resend: VecDeque<u64>,
    /// Packet identifiers of QoS 2 messages from the client that await PUBREL.
    pub(super) awaiting_pubrel: HashSet<u16>,
    /// Number of messages dropped since the queue was last empty.
    pub(super) dropped: u64,
}

/// The send state of a session's connection.
pub(super) struct ConnectionState {
    /// Unique per connection.
    pub(super) serial: u64,
    pub(super) version: Version,
    /// Notified when there is something to send.
    pub(super) wake: Arc<Notify>,
    /// Receive maximum of the client.
    pub(super) receive_maximum: usize,
    /// Number of messages in flight on this connection.
    pub(super) inflight_count: usize,
    /// Maximum total size of messages in flight, in bytes.
    pub(super) max_inflight_bytes: usize,
    pub(super) max_packet: u32,
    /// Topic alias maximum of the client.
    pub(super) topic_alias_maximum: u16,
    pub(super) aliases: HashMap<String, u16>,
}

/// A QoS 1 or 2 message that is sent and not acknowledged.
pub(super) struct InflightMessage {
    pub(super) id: u16,
    pub(super) delivery: Delivery,
    /// Whether PUBREC was received (QoS 2).
    pub(super) is_received: bool,
    /// Whether it counts in `ConnectionState::inflight_count`.
    pub(super) is_counted: bool,
}

/// Messages to be sent.
#[derive(Default)]
pub(super) struct SendQueue {
    /// QoS 1 and 2, limited by the client's receive maximum.
    pub(super) acknowledged: VecDeque<Delivery>,
    /// QoS 0, not limited by it.
    pub(super) qos0: VecDeque<Delivery>,
    bytes: usize,
    /// Bytes in the send queues of all clients.
    total_queued: Arc<AtomicUsize>,
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.subtract(self.bytes);
    }
}

impl SendQueue {
    fn new(total_queued: &Arc<AtomicUsize>) -> Self {
        Self { acknowledged: VecDeque::new(), qos0: VecDeque::new(), bytes: 0, total_queued: Arc::clone(total_queued) }
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.message.size();
        self.total_queued.fetch_add(delivery.message.size(), Ordering::Relaxed);
        match delivery.qos {
            0 => self.qos0.push_back(delivery),
            _ => self.acknowledged.push_back(delivery),
        }
    }

    /// Takes the oldest message, or the oldest QoS 0 message if no other may be sent.
    pub(super) fn pop(&mut self, is_open: bool) -> Option<Delivery> {
        let is_acknowledged = match (self.acknowledged.front(), self.qos0.front()) {
            (Some(acknowledged), Some(qos0)) => is_open && acknowledged.seq < qos0.seq,
            (acknowledged, _) => is_open && acknowledged.is_some(),
        };
        let delivery = if is_acknowledged { self.acknowledged.pop_front() } else { self.qos0.pop_front() }?;
        self.subtract(delivery.message.size());
        Some(delivery)
    }

    pub(super) fn len(&self) -> usize {
        self.acknowledged.len() + self.qos0.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes a message by its sequence number.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Delivery> {
        let at = self.acknowledged.binary_search_by_key(&seq, |delivery| delivery.seq).ok()?;
        let delivery = self.acknowledged.remove(at)?;
        self.subtract(delivery.message.size());
        Some(delivery)
    }

    /// Drops the QoS 0 messages, which only connected clients receive.
    pub(super) fn clear_qos0(&mut self) {
        let bytes = self.qos0.drain(..).map(|delivery| delivery.message.size()).sum();
        self.subtract(bytes);
    }

    fn subtract(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.total_queued.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Session {
    /// Returns a new session, whose queue is counted in `total_queued_bytes`.
    pub(super) fn new(total_queued_bytes: &Arc<AtomicUsize>) -> Self {
        Self { queue: SendQueue::new(total_queued_bytes), ..Self::default() }
    }

    /// Returns whether the session outlives its connection.
    pub(super) fn is_persistent(&self) -> bool {
        self.expiry > 0
    }

    /// Returns when it expires, if the client stays disconnected.
    pub(super) fn ends(&self) -> Option<UnixMillis> {
        Some(self.offline_since? + u64::from(self.expiry) * 1_000)
    }

    /// Returns an unused packet identifier. At least one must be unused.
    pub(super) fn free_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.packet_ids.contains_key(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    /// Records that a message was sent.
    pub(super) fn start_inflight(&mut self, id: u16, delivery: Delivery, is_counted: bool) {
        self.packet_ids.insert(id, delivery.seq);
        self.inflight_bytes += delivery.message.size();
        self.inflight.insert(delivery.seq, InflightMessage { id, delivery, is_received: false, is_counted });
    }

    /// Records that a message was acknowledged, and returns its sequence number; `None` if the packet identifier is unknown.
    pub(super) fn complete_inflight(&mut self, id: u16) -> Option<u64> {
        let seq = self.packet_ids.remove(&id)?;
        let message = self.inflight.remove(&seq)?;
        self.inflight_bytes -= message.delivery.message.size();
        if let Some(connection) = &mut self.connection
            && message.is_counted
        {
            connection.inflight_count -= 1;
        }
        Some(seq)
    }

    /// Removes the connection and its state.
    pub(super) fn detach(&mut self, now: UnixMillis) {
        self.connection = None;
        self.offline_since = Some(now);
        self.resend.clear();
        self.queue.clear_qos0();
        for message in self.inflight.values_mut() {
            message.is_counted = false;
        }
    }

    /// Wakes the connection task.
    pub(super) fn wake(&self) {
        if let Some(connection) = &self.connection {
            connection.wake.notify_one();
        }
    }
}
