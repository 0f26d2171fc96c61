//! Applies packets from clients to the broker's state and writes the replies.

use bytes::BytesMut;

use super::message::{Delivery, Message};
use super::packet::{self, Packet, Publish, ReasonCode, SubscribeOptions};
use super::session::Session;
use super::sessions::{ConnectionEnd, ConnectionId, RECEIVE_MAXIMUM};
use super::state::State;
use super::subscriptions::{Subscriber, check_filter, is_shared};
use super::write_ahead_log::Record;
use crate::services::mqtt::wire::Version;

/// Maximum number of subscriptions of one client.
const MAX_FILTERS: usize = 20_000;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

impl State {
    /// Applies a packet and writes its reply.
    pub(super) fn apply_packet(
        &mut self,
        connection_id: &ConnectionId,
        packet: Packet,
        out: &mut BytesMut,
    ) -> Result<(), ConnectionEnd> {
        let session = self.connected_session(connection_id)?;
        match packet {
            Packet::Publish(publish) => return self.receive_publish(connection_id, publish, out),
            Packet::PubAck(id) if session.is_inflight(id, 1) => self.complete_delivery(connection_id, id),
            Packet::PubRec(id, true) if session.is_inflight(id, 2) => self.complete_delivery(connection_id, id),
            Packet::PubRec(id, false) => self.receive_pubrec(connection_id, id, out),
            Packet::PubRel(id) => {
                let is_known = session.awaiting_pubrel.remove(&id);
                if is_known && session.is_persistent() {
                    self.log(&Record::PubRelReceived { client: connection_id.client.clone(), id });
                }
                let reason = if is_known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_ID_NOT_FOUND };
                packet::write_ack(connection_id.version, PUBCOMP, id, reason, out);
            }
            Packet::PubComp(id) if session.is_inflight(id, 2) => self.complete_delivery(connection_id, id),
            // A duplicate acknowledgement, or one from before the broker lost its state.
            Packet::PubAck(_) | Packet::PubRec(..) | Packet::PubComp(_) => {}
            Packet::Subscribe { id, subscription_id, filters } => {
                self.subscribe_all(connection_id, id, subscription_id, filters, out)
            }
            Packet::Unsubscribe { id, filters } => self.unsubscribe_all(connection_id, id, &filters, out),
            Packet::PingReq => packet::write_pingresp(out),
            Packet::Disconnect { expiry: Some(1..), .. } if !session.is_persistent() => {
                return Err(ConnectionEnd::ServerDisconnect(ReasonCode::PROTOCOL_ERROR));
            }
            Packet::Disconnect { with_will, expiry } => {
                return Err(ConnectionEnd::ClientDisconnect { with_will, expiry });
            }
            Packet::Connect(_) => return Err(ConnectionEnd::ServerDisconnect(ReasonCode::PROTOCOL_ERROR)),
        }
        Ok(())
    }

    /// Returns the session of a connection, unless another connection has taken it over.
    pub(super) fn connected_session(&mut self, connection_id: &ConnectionId) -> Result<&mut Session, ConnectionEnd> {
        let session = self.sessions.get_mut(&connection_id.client);
        let own = session.filter(|session| {
            session.connection.as_ref().is_some_and(|connection| connection.serial == connection_id.serial)
        });
        own.ok_or(ConnectionEnd::ServerDisconnect(ReasonCode::SESSION_TAKEN_OVER))
    }

    /// Returns the message of a PUBLISH that is received now.
    pub(super) fn message(&self, publish: Publish) -> Message {
        let Publish { topic, payload, qos, retain, forward, expiry, .. } = publish;
        let expires = expiry.map(|seconds| self.now() + u64::from(seconds) * 1_000);
        Message { topic, payload, qos, retain, forward, expires }
    }

    fn receive_publish(
        &mut self,
        connection_id: &ConnectionId,
        publish: Publish,
        out: &mut BytesMut,
    ) -> Result<(), ConnectionEnd> {
        let Publish { qos, id, .. } = publish;
        let session = self.connected_session(connection_id)?;
        if qos == 2 && session.awaiting_pubrel.contains(&id) {
            packet::write_ack(connection_id.version, PUBREC, id, ReasonCode::SUCCESS, out);
            return Ok(());
        }
        if qos == 2 && session.awaiting_pubrel.len() >= usize::from(RECEIVE_MAXIMUM) {
            return Err(ConnectionEnd::ServerDisconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
        }
        let message = self.message(publish);
        let result = self.publish(Some(&connection_id.client), message);
        let reason = match result {
            Ok(true) => ReasonCode::SUCCESS,
            Ok(false) => ReasonCode::NO_MATCHING_SUBSCRIBERS,
            Err(reason) => reason,
        };
        // MQTT 3.1.1 has no reason codes in PUBREC, so there the message counts as received.
        if qos == 2 && (result.is_ok() || connection_id.version == Version::V4) {
            let session = self.connected_session(connection_id)?;
            session.awaiting_pubrel.insert(id);
            if session.is_persistent() {
                self.log(&Record::AwaitPubRel { client: connection_id.client.clone(), id });
            }
        }
        match qos {
            0 => {}
            1 => packet::write_ack(connection_id.version, PUBACK, id, reason, out),
            _ => packet::write_ack(connection_id.version, PUBREC, id, reason, out),
        }
        Ok(())
    }

    /// Completes the delivery of a message that was acknowledged by PUBACK or PUBCOMP.
    fn complete_delivery(&mut self, connection_id: &ConnectionId, id: u16) {
        let Ok(session) = self.connected_session(connection_id) else { return };
        let is_persistent = session.is_persistent();
        if let Some(seq) = session.complete_inflight(id)
            && is_persistent
        {
            self.log(&Record::Complete { client: connection_id.client.clone(), seq });
        }
    }

    /// Handles the PUBREC of a message: records it once and answers with PUBREL.
    fn receive_pubrec(&mut self, connection_id: &ConnectionId, id: u16, out: &mut BytesMut) {
        let Ok(session) = self.connected_session(connection_id) else { return };
        let is_known = session.is_inflight(id, 2);
        let is_persistent = session.is_persistent();
        if let Some(message) =
            session.packet_ids.get(&id).and_then(|seq| session.inflight.get_mut(seq)).filter(|_| is_known)
        {
            message.is_received = true;
            if is_persistent {
                self.log(&Record::PubRecReceived { client: connection_id.client.clone(), id });
            }
        }
        packet::write_ack(
            connection_id.version,
            PUBREL,
            id,
            if is_known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_ID_NOT_FOUND },
            out,
        );
    }

    fn subscribe_all(
        &mut self,
        connection_id: &ConnectionId,
        id: u16,
        subscription_id: Option<u32>,
        filters: Vec<(String, SubscribeOptions)>,
        out: &mut BytesMut,
    ) {
        let mut reason_codes = Vec::with_capacity(filters.len());
        for (filter, options) in filters {
            reason_codes
                .push(self.subscribe_one(connection_id, filter, options, subscription_id).map(|()| options.qos));
        }
        packet::write_suback(connection_id.version, id, &reason_codes, out);
    }

    fn subscribe_one(
        &mut self,
        connection_id: &ConnectionId,
        filter: String,
        options: SubscribeOptions,
        subscription_id: Option<u32>,
    ) -> Result<(), ReasonCode> {
        check_filter(&filter)?;
        let (now, limit) = (self.now(), self.limits.queued);
        let session = self.connected_session(connection_id).map_err(|_| ReasonCode::SESSION_TAKEN_OVER)?;
        // Stops a client that requests retained messages repeatedly without reading them.
        if session.filters.len() >= MAX_FILTERS || session.queue.len() > limit {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let (client, is_persistent) = (connection_id.client.clone(), session.is_persistent());
        let is_v5 = self.subscribe(filter.clone(), Subscriber { client: client.clone(), options, subscription_id });
        if is_persistent {
            self.log(&Record::Subscribe { client: client.clone(), filter: filter.clone(), options, subscription_id });
        }
        let wants_retained = options.retain_handling == 0 || (options.retain_handling == 1 && is_v5 == Some(true));
        if wants_retained && !is_shared(&filter) {
            for message in self.retained.matching(&filter, now) {
                let (qos, subscription_ids) = (options.qos.min(message.qos), subscription_id.into_iter().collect());
                self.enqueue(&client, Delivery { seq: 0, message, qos, retain: true, subscription_ids });
            }
        }
        Ok(())
    }

    fn unsubscribe_all(&mut self, connection_id: &ConnectionId, id: u16, filters: &[String], out: &mut BytesMut) {
        let is_persistent = self.connected_session(connection_id).is_ok_and(|session| session.is_persistent());
        let mut reason_codes = Vec::with_capacity(filters.len());
        for filter in filters {
            let was_there = self.unsubscribe(&connection_id.client, filter);
            if was_there && is_persistent {
                self.log(&Record::Unsubscribe { client: connection_id.client.clone(), filter: filter.clone() });
            }
            reason_codes.push(if was_there { ReasonCode::SUCCESS } else { ReasonCode::NO_SUBSCRIPTION_EXISTED });
        }
        packet::write_unsuback(connection_id.version, id, &reason_codes, out);
    }
}

impl Session {
    /// Returns whether a message of this QoS is in flight with this packet identifier.
    fn is_inflight(&self, id: u16, qos: u8) -> bool {
        let message = self.packet_ids.get(&id).and_then(|seq| self.inflight.get(seq));
        message.is_some_and(|message| message.delivery.qos == qos)
    }
}
