//! Routing of a message from its publisher to its subscribers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tracing::{debug, warn};

use super::message::{ClientId, Delivery, Message, UnixMillis};
use super::packet::{self, OutgoingPublish, ReasonCode};
use super::session::{ConnectionState, InflightMessage, Session};
use super::sessions::ConnectionId;
use super::state::State;
use super::write_ahead_log::{LogBuffer, Record};

/// Maximum total size of all send queues, in bytes.
const MAX_TOTAL_QUEUED: usize = 1 << 30;
/// Size of the output of one step, in bytes.
pub(super) const OUTPUT_CHUNK: usize = 64 << 10;

impl State {
    /// Stores a retained message, and queues the message for its subscribers. Returns whether there are any.
    ///
    /// Clients cannot publish to `$SYS`.
    pub(super) fn publish(&mut self, from: Option<&ClientId>, message: Message) -> Result<bool, ReasonCode> {
        if from.is_some() && (message.topic == "$SYS" || message.topic.starts_with("$SYS/")) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let message = Arc::new(message);
        if message.retain {
            self.retain(&message)?;
        }
        let sessions = &self.sessions;
        let is_there = |client: &ClientId| sessions.get(client).is_some_and(|session| session.connection.is_some());
        let recipients = self.subscriptions.recipients(&message.topic, from, is_there);
        let has_subscribers = !recipients.is_empty();
        for recipient in recipients {
            let delivery = Delivery {
                seq: 0,
                qos: recipient.qos.min(message.qos),
                retain: recipient.retain_as_published && message.retain,
                subscription_ids: recipient.subscription_ids,
                message: Arc::clone(&message),
            };
            self.deliver(&recipient.client, delivery);
        }
        Ok(has_subscribers)
    }

    fn retain(&mut self, message: &Arc<Message>) -> Result<(), ReasonCode> {
        if !self.retained.has_room_for(message) {
            warn!("a retained message was refused: the embedded broker's limit is reached (topic {})", message.topic);
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let is_change = self.retained.set(Arc::clone(message));
        match message.payload.is_empty() {
            true if is_change => self.log(&Record::Unretain(message.topic.clone())),
            true => {}
            false => self.log(&Record::Retain(Arc::clone(message))),
        }
        Ok(())
    }

    /// Queues a message for a client, unless its queue is full.
    fn deliver(&mut self, client: &ClientId, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.connection.is_none() && delivery.qos == 0 {
            return;
        }
        let is_full = session.queue.len() >= self.limits.queued
            || session.queue.bytes() + delivery.message.size() > self.limits.queued_bytes;
        let is_full = is_full || self.total_queued_bytes.load(Ordering::Relaxed) > MAX_TOTAL_QUEUED;
        // The first one always fits: otherwise a limit below the packet size would limit the packet size.
        if is_full && session.queue.len() > 0 {
            if session.dropped == 0 {
                warn!(
                    "{} messages are queued for the MQTT client {client:?}; further ones are dropped until it acknowledges some (`mqtt.embedded.max_queued`)",
                    session.queue.len()
                );
            }
            session.dropped += 1;
            return;
        }
        self.enqueue(client, delivery);
    }

    /// Queues a message for a client.
    pub(super) fn enqueue(&mut self, client: &ClientId, mut delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        self.last_seq += 1;
        delivery.seq = self.last_seq;
        if let Some(log) = &self.log
            && session.is_persistent()
            && delivery.qos > 0
        {
            log.append(&Record::Queue { client: client.clone(), delivery: delivery.clone() });
        }
        session.queue.push(delivery);
        session.wake();
    }

    /// Writes queued messages, as far as the client's limits allow; returns whether more can be sent at once.
    pub(super) fn collect_output(&mut self, connection_id: &ConnectionId, out: &mut BytesMut) -> bool {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&connection_id.client) else { return false };
        while out.len() < OUTPUT_CHUNK {
            if !session.send_one(connection_id, now, self.log.as_ref(), out) {
                session.report_dropped(&connection_id.client);
                return false;
            }
        }
        true
    }
}

impl Session {
    /// Writes one message; returns whether there was one that may be sent.
    fn send_one(
        &mut self,
        connection_id: &ConnectionId,
        now: UnixMillis,
        log: Option<&LogBuffer>,
        out: &mut BytesMut,
    ) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let is_open = connection.inflight_count < connection.receive_maximum;
        if is_open && let Some(seq) = self.resend.pop_front() {
            if let Some(message) = self.inflight.get_mut(&seq) {
                connection.send_again(message, now, out);
            }
            return true;
        }
        let is_open = is_open
            && self.inflight_bytes < connection.max_inflight_bytes
            && self.packet_ids.len() < usize::from(u16::MAX);
        let Some(delivery) = self.queue.pop(is_open) else { return false };
        self.send_new(connection_id, delivery, now, log, out);
        true
    }

    /// Writes a message for the first time, unless it has expired or is too large for the client.
    fn send_new(
        &mut self,
        connection_id: &ConnectionId,
        delivery: Delivery,
        now: UnixMillis,
        log: Option<&LogBuffer>,
        out: &mut BytesMut,
    ) {
        let Some(connection) = &mut self.connection else { return };
        let is_deliverable = !delivery.message.is_expired(now) && connection.accepts(&delivery, now);
        let log = log.filter(|_| self.expiry > 0 && delivery.qos > 0);
        if !is_deliverable {
            if let Some(log) = log {
                log.append(&Record::Complete { client: connection_id.client.clone(), seq: delivery.seq });
            }
            return;
        }
        if delivery.qos == 0 {
            return connection.send(&delivery, 0, false, now, out);
        }
        let id = self.free_id();
        if let Some(log) = log {
            log.append(&Record::Sent { client: connection_id.client.clone(), seq: delivery.seq, id });
        }
        if let Some(connection) = &mut self.connection {
            connection.send(&delivery, id, false, now, out);
            connection.inflight_count += 1;
        }
        self.start_inflight(id, delivery, true);
    }

    fn report_dropped(&mut self, client: &ClientId) {
        if self.dropped > 0 && self.queue.len() == 0 {
            warn!("{} messages for the MQTT client {client:?} were dropped", self.dropped);
            self.dropped = 0;
        }
    }
}

impl ConnectionState {
    fn accepts(&self, delivery: &Delivery, now: UnixMillis) -> bool {
        let too_large = packet::is_too_large(self.version, &publish_packet(delivery, 1, now), self.max_packet);
        if too_large {
            debug!("a message of {} exceeds the maximum packet size of its client", delivery.message.topic);
        }
        !too_large
    }

    fn send_again(&mut self, message: &mut InflightMessage, now: UnixMillis, out: &mut BytesMut) {
        message.is_counted = true;
        self.inflight_count += 1;
        match message.is_received {
            true => packet::write_ack(self.version, 0x62, message.id, ReasonCode::SUCCESS, out),
            false => self.send(&message.delivery, message.id, true, now, out),
        }
    }

    fn send(&mut self, delivery: &Delivery, id: u16, dup: bool, now: UnixMillis, out: &mut BytesMut) {
        let mut message = OutgoingPublish { dup, ..publish_packet(delivery, id, now) };
        if let Some(alias) = self.aliases.get(message.topic) {
            (message.alias, message.topic) = (Some(*alias), "");
        } else if self.aliases.len() < usize::from(self.topic_alias_maximum) {
            let alias = self.aliases.len() as u16 + 1;
            message.alias = Some(alias);
            // The alias makes the packet larger, possibly too large.
            match packet::is_too_large(self.version, &message, self.max_packet) {
                true => message.alias = None,
                false => drop(self.aliases.insert(message.topic.to_owned(), alias)),
            }
        }
        packet::write_publish(self.version, &message, out);
    }
}

fn publish_packet(delivery: &Delivery, id: u16, now: UnixMillis) -> OutgoingPublish<'_> {
    let message = &delivery.message;
    let left = |expires: UnixMillis| u32::try_from(expires.saturating_sub(now).div_ceil(1_000)).unwrap_or(u32::MAX);
    OutgoingPublish {
        topic: &message.topic,
        payload: &message.payload,
        forward: &message.forward,
        qos: delivery.qos,
        retain: delivery.retain,
        dup: false,
        id,
        expiry: message.expires.map(left),
        subscription_ids: &delivery.subscription_ids,
        alias: None,
    }
}
