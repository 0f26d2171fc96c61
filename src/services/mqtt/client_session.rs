//! Sans-I/O MQTT client session: subscriptions, outbox, pending acks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use tracing::warn;

use crate::event::ReceivedMessage;
use crate::services::mqtt::ack_queue::AckQueue;
use crate::services::mqtt::ack_spill::SPILL_AFTER;
use crate::services::mqtt::ack_token::AckToken;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::last_values::LastValues;
use crate::services::mqtt::outbox::Outbox;
use crate::services::mqtt::pending_acks::{Acknowledgement, Arrival, PendingAcks};
use crate::services::mqtt::pending_writes::{Urgency, Written};
use crate::services::mqtt::registry::Registry;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::subscriber::SinkDelivery;
use crate::services::mqtt::wire::{ConnAck, ConnectionError, Frame, Incoming, IncomingPublish, Outgoing};
use crate::services::store::{OutboxChange, OutboxRecord};

/// Limit of messages buffered during a pause; with one more, the pause ends.
const MAX_PAUSED: usize = 10_000;

/// A received message and its acknowledgement.
struct Received {
    message: Arc<ReceivedMessage>,
    ack: Option<AckToken>,
    subscription_ids: Vec<u32>,
}

/// Returns a payload that keeps no read buffer alive: short ones are copied.
fn owned(payload: Bytes) -> Bytes {
    const MAX_COPIED: usize = 4 << 10;
    if payload.len() <= MAX_COPIED { Bytes::copy_from_slice(&payload) } else { payload }
}

/// The session with one broker: takes incoming packets and returns outgoing ones, without I/O.
pub(super) struct ClientSession {
    broker: Arc<str>,
    pub(super) registry: Registry,
    pub(super) outbox: Outbox,
    pub(super) last_values: LastValues,
    pending_acks: PendingAcks,
    acks: Arc<AckQueue>,
    /// Whether the connection is needed to observe its state, even without subscriptions and messages.
    pub(super) is_watched: bool,
    // Responses, and packets sent again after a reconnect: sent before everything else.
    responses: VecDeque<Outgoing>,
    // Urgency of the changes at the last notification of the writer.
    notified_urgency: Urgency,
    // Messages dropped from the outbox since the last connect.
    dropped: u64,
    // Number of pauses, and the messages received meanwhile with their subscription identifiers.
    pauses: usize,
    paused: VecDeque<Received>,
}

impl ClientSession {
    pub(super) fn new(settings: &ConnectionSettings, acks: Arc<AckQueue>) -> Self {
        Self {
            broker: settings.name.as_str().into(),
            registry: Registry::new(&settings.name),
            outbox: Outbox::new(settings.outbox, settings.max_inflight),
            last_values: LastValues::default(),
            pending_acks: PendingAcks::default(),
            acks,
            is_watched: false,
            responses: VecDeque::new(),
            notified_urgency: Urgency::None,
            dropped: 0,
            pauses: 0,
            paused: VecDeque::new(),
        }
    }

    /// Returns whether no connection is needed.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_watched && self.registry.is_empty() && self.outbox.is_empty()
    }

    /// Starts a connection.
    pub(super) fn connected(&mut self, connack: &ConnAck) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            warn!(broker = &*self.broker, "{dropped} messages were dropped while the broker was offline");
        }
        self.registry.connected(connack.session_present, connack.has_subscription_ids);
        self.pending_acks.connected(connack.session_present);
        self.responses = self.outbox.connected(connack).into();
    }

    /// Processes a packet from the broker.
    ///
    /// # Errors
    /// If the connection must be closed.
    pub(super) fn incoming(&mut self, frame: Frame, at: Timestamp) -> Result<(), ConnectionError> {
        let packet = match frame {
            Frame::Packet(packet) => packet,
            Frame::TooLarge { topic, qos, id, size } => {
                warn!(
                    broker = &*self.broker,
                    topic, "a message of {size} bytes is dropped: it is larger than `mqtt.max_packet`"
                );
                self.acknowledge_skipped(qos, id);
                return Ok(());
            }
        };
        match packet {
            Incoming::Publish(publish) => self.publish_received(publish, at),
            Incoming::PubAck { id, refused } => self.outbox.puback_received(id, refused),
            Incoming::PubRec { id, refused } => {
                if self.outbox.pubrec_received(id, refused) {
                    self.responses.push_back(Outgoing::PubRel(id));
                }
            }
            Incoming::PubRel(id) => {
                self.pending_acks.pubrel_received(id);
                self.responses.push_back(Outgoing::PubComp(id));
            }
            Incoming::PubComp(id) => self.outbox.pubcomp_received(id),
            Incoming::SubAck { id, granted } => self.registry.suback_received(id, granted, Instant::now()),
            Incoming::UnsubAck(id) => self.registry.unsuback_received(id),
            Incoming::PingResp => {}
            Incoming::Disconnect(why) => return Err(ConnectionError::ServerDisconnect(why)),
            Incoming::ConnAck(_) => return Err(ConnectionError::Malformed("a second CONNACK".into())),
        }
        Ok(())
    }

    /// Drops the oldest message of the outbox; logs this once until the next connect.
    pub(super) fn drop_oldest(&mut self) {
        if self.dropped == 0 {
            let (broker, queued) = (&*self.broker, self.outbox.queued());
            warn!(broker, "the outbox is full with {queued} messages: the oldest are dropped (`outbox_full`)");
        }
        self.dropped += 1;
        self.outbox.drop_oldest();
    }

    /// Spills messages that have blocked the acknowledgement of others for too long.
    pub(super) fn spill_overdue(&mut self) {
        self.pending_acks.spill_overdue(Instant::now());
    }

    /// Returns the next packet to send.
    pub(super) fn outgoing(&mut self) -> Option<Outgoing> {
        for acknowledgement in self.pending_acks.take_ready(&self.acks) {
            self.responses.push_back(match acknowledgement {
                Acknowledgement::PubAck(id) => Outgoing::PubAck(id),
                Acknowledgement::PubRec(id) => Outgoing::PubRec(id),
            });
        }
        if let Some(response) = self.responses.pop_front() {
            return Some(response);
        }
        let Self { registry, outbox, .. } = self;
        let free_id = |registry: &Registry| outbox.free_packet_id(|id| registry.uses(id));
        if let Some(request) = registry.next_request(Instant::now(), free_id) {
            return Some(request);
        }
        outbox.next(|id| registry.uses(id))
    }

    fn publish_received(&mut self, publish: IncomingPublish, at: Timestamp) {
        let ack = match publish.qos {
            0 => None,
            qos => match self.pending_acks.arrived(publish.id, qos, &publish.topic, &publish.payload) {
                Arrival::New(number) => Some(AckToken::new(number, Arc::clone(&self.acks))),
                Arrival::Repeated => return,
            },
        };
        let message = Arc::new(ReceivedMessage {
            topic: publish.topic,
            payload: owned(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            broker: self.broker.clone(),
            properties: publish.properties,
            received: at,
        });
        if message.qos > 0 {
            self.pending_acks.retain_message(&message);
        }
        self.last_values.insert(&message);
        let received = Received { message, ack, subscription_ids: publish.subscription_ids };
        if self.pauses > 0 && self.paused.len() < MAX_PAUSED {
            return self.paused.push_back(received);
        }
        self.deliver_paused();
        self.deliver(&received, Instant::now());
    }

    /// Acknowledges a message that is not delivered.
    fn acknowledge_skipped(&mut self, qos: u8, id: u16) {
        if qos > 0
            && let Arrival::New(number) = self.pending_acks.arrived(id, qos, "", &[])
        {
            self.acks.complete(number);
        }
    }

    /// Buffers incoming messages until [`ClientSession::resume`], or until 10,000 are buffered.
    pub(super) fn pause(&mut self) {
        self.pauses += 1;
    }

    /// Ends a pause; the last one delivers the buffered messages.
    pub(super) fn resume(&mut self) {
        self.pauses -= 1;
        if self.pauses == 0 {
            self.deliver_paused();
        }
    }

    fn deliver_paused(&mut self) {
        let now = Instant::now();
        for received in std::mem::take(&mut self.paused) {
            self.deliver(&received, now);
        }
    }

    fn deliver(&mut self, received: &Received, now: Instant) {
        let Received { message, ack, subscription_ids } = received;
        self.registry.deliver(message, ack.as_ref(), subscription_ids, now);
    }

    /// Takes the messages for sinks, in order.
    pub(super) fn take_deliveries(&mut self) -> Vec<SinkDelivery> {
        std::mem::take(&mut self.registry.deliveries)
    }

    /// Restores the messages that an earlier process had spilled.
    pub(super) fn restore_spilled(&mut self, records: Vec<OutboxRecord>) {
        self.pending_acks.restore(records);
    }

    /// Returns whether messages that an earlier process had spilled are still to be delivered.
    pub(super) fn has_restored(&self) -> bool {
        self.pending_acks.spill.has_restored()
    }

    /// Delivers the messages that an earlier process had spilled.
    pub(super) fn deliver_restored(&mut self) {
        for (number, message) in self.pending_acks.spill.take_restored(&self.broker) {
            let ack = AckToken::new(number, Arc::clone(&self.acks));
            self.registry.deliver(&Arc::new(message), Some(&ack), &[], Instant::now());
        }
    }

    /// Returns when a message that blocks the acknowledgement of others is to be spilled.
    pub(super) fn spill_at(&self) -> Option<Instant> {
        self.pending_acks.blocked_since().map(|since| since + SPILL_AFTER)
    }

    /// Returns whether changes wait to be written to disk.
    pub(super) fn has_pending_writes(&self) -> bool {
        !self.outbox.writes().is_empty() || !self.pending_acks.spill.writes.is_empty()
    }

    /// Returns how soon the changes are to be written.
    pub(super) fn write_urgency(&self) -> Urgency {
        if self.pending_acks.spill.writes.is_empty() { self.outbox.writes().urgency() } else { Urgency::Urgent }
    }

    /// Returns whether the writer is to be notified: if the changes are more urgent than at the last notification.
    pub(super) fn notifies_writer(&mut self) -> bool {
        let urgency = self.write_urgency();
        let is_higher = urgency > self.notified_urgency;
        self.notified_urgency = self.notified_urgency.max(urgency);
        is_higher
    }

    /// Takes the changes to be written: of the outbox, and of spilled messages.
    pub(super) fn take_writes(&mut self) -> (Vec<OutboxChange>, Vec<OutboxChange>) {
        self.notified_urgency = Urgency::None;
        (self.outbox.take_writes(), self.pending_acks.spill.writes.take())
    }

    /// Records the result of writing changes of the outbox.
    pub(super) fn outbox_writes_finished(&mut self, written: &[Written], outcome: &Result<(), Error>) {
        self.responses.extend(self.outbox.writes_finished(written, outcome));
    }

    /// Records whether spilled messages are on disk.
    pub(super) fn spill_finished(&mut self, numbers: &[u64], is_on_disk: bool) {
        self.pending_acks.spill_finished(numbers, is_on_disk);
    }
}
