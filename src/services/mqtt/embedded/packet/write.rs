//! Serialization of packets.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::properties::{id, is_v5};
use super::reason::ReasonCode;
use crate::services::mqtt::wire::Version;

/// A CONNACK packet that accepts the connection.
#[derive(Debug, Default)]
pub(in crate::services::mqtt::embedded) struct ConnAck {
    /// Session present.
    pub(in crate::services::mqtt::embedded) session_present: bool,
    /// Session expiry interval in seconds, if it differs from the requested one.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// Receive maximum of the broker.
    pub(in crate::services::mqtt::embedded) receive_maximum: u16,
    /// Maximum packet size of the broker, in bytes.
    pub(in crate::services::mqtt::embedded) max_packet: u32,
    /// Topic alias maximum of the broker.
    pub(in crate::services::mqtt::embedded) topic_alias_maximum: u16,
    /// Assigned client identifier, if the client sent none.
    pub(in crate::services::mqtt::embedded) client_id: Option<String>,
    /// Server keep alive in seconds, if it differs from the requested one.
    pub(in crate::services::mqtt::embedded) keep_alive: Option<u16>,
}

/// A PUBLISH packet to a client.
pub(in crate::services::mqtt::embedded) struct OutgoingPublish<'a> {
    pub(in crate::services::mqtt::embedded) topic: &'a str,
    pub(in crate::services::mqtt::embedded) payload: &'a Bytes,
    pub(in crate::services::mqtt::embedded) forward: &'a Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    pub(in crate::services::mqtt::embedded) dup: bool,
    /// The packet identifier; 0 for QoS 0.
    pub(in crate::services::mqtt::embedded) id: u16,
    /// Remaining message expiry interval, in seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    pub(in crate::services::mqtt::embedded) subscription_ids: &'a [u32],
    pub(in crate::services::mqtt::embedded) alias: Option<u16>,
}

/// Writes a CONNACK that accepts the connection.
pub(in crate::services::mqtt::embedded) fn write_connack(version: Version, connack: &ConnAck, out: &mut BytesMut) {
    let mut body = BytesMut::new();
    body.put_slice(&[connack.session_present.into(), 0]);
    if is_v5(version) {
        let mut properties = BytesMut::new();
        if let Some(expiry) = connack.expiry {
            properties.put_u8(id::SESSION_EXPIRY_INTERVAL);
            properties.put_u32(expiry);
        }
        properties.put_u8(id::RECEIVE_MAXIMUM);
        properties.put_u16(connack.receive_maximum);
        properties.put_u8(id::MAXIMUM_PACKET_SIZE);
        properties.put_u32(connack.max_packet);
        properties.put_u8(id::TOPIC_ALIAS_MAXIMUM);
        properties.put_u16(connack.topic_alias_maximum);
        if let Some(client_id) = &connack.client_id {
            properties.put_u8(id::ASSIGNED_CLIENT_ID);
            put_bytes(client_id.as_bytes(), &mut properties);
        }
        if let Some(keep_alive) = connack.keep_alive {
            properties.put_u8(id::SERVER_KEEP_ALIVE);
            properties.put_u16(keep_alive);
        }
        put_varint(properties.len(), &mut body);
        body.put_slice(&properties);
    }
    put_packet(0x20, &body, out);
}

/// Writes a CONNACK that refuses the connection; nothing if MQTT 3.1.1 has no return code for the reason.
pub(in crate::services::mqtt::embedded) fn write_connack_refusal(
    version: Version,
    reason: ReasonCode,
    out: &mut BytesMut,
) {
    match (is_v5(version), reason.v3_return_code()) {
        (true, _) => put_packet(0x20, &[0, reason.0, 0], out),
        (false, Some(code)) => put_packet(0x20, &[0, code], out),
        (false, None) => {}
    }
}

/// Writes a PUBACK, PUBREC, PUBREL or PUBCOMP; `first` is its first byte.
pub(in crate::services::mqtt::embedded) fn write_ack(
    version: Version,
    first: u8,
    id: u16,
    reason: ReasonCode,
    out: &mut BytesMut,
) {
    let [high, low] = id.to_be_bytes();
    match is_v5(version) && reason != ReasonCode::SUCCESS {
        true => put_packet(first, &[high, low, reason.0], out),
        false => put_packet(first, &[high, low], out),
    }
}

/// Writes a SUBACK with the granted QoS or the reason code of each filter.
pub(in crate::services::mqtt::embedded) fn write_suback(
    version: Version,
    id: u16,
    reason_codes: &[Result<u8, ReasonCode>],
    out: &mut BytesMut,
) {
    let mut body = BytesMut::new();
    body.put_u16(id);
    if is_v5(version) {
        body.put_u8(0);
    }
    body.extend(reason_codes.iter().map(|reason_code| match reason_code {
        Ok(qos) => *qos,
        Err(reason) => {
            if is_v5(version) {
                reason.0
            } else {
                0x80
            }
        }
    }));
    put_packet(0x90, &body, out);
}

/// Writes an UNSUBACK.
pub(in crate::services::mqtt::embedded) fn write_unsuback(
    version: Version,
    id: u16,
    reason_codes: &[ReasonCode],
    out: &mut BytesMut,
) {
    let mut body = BytesMut::new();
    body.put_u16(id);
    if is_v5(version) {
        body.put_u8(0);
        body.extend(reason_codes.iter().map(|reason_code| reason_code.0));
    }
    put_packet(0xb0, &body, out);
}

/// Writes a PINGRESP.
pub(in crate::services::mqtt::embedded) fn write_pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// Writes a DISCONNECT; nothing on MQTT 3.1.1, where only clients send it.
pub(in crate::services::mqtt::embedded) fn write_disconnect(version: Version, reason: ReasonCode, out: &mut BytesMut) {
    if is_v5(version) {
        put_packet(0xe0, &[reason.0, 0], out);
    }
}

/// Writes a PUBLISH.
pub(in crate::services::mqtt::embedded) fn write_publish(
    version: Version,
    message: &OutgoingPublish<'_>,
    out: &mut BytesMut,
) {
    let first = 0x30 | u8::from(message.dup) << 3 | message.qos << 1 | u8::from(message.retain);
    let (length, properties) = body(version, message);
    out.reserve(length + 5);
    out.put_u8(first);
    put_varint(length, out);
    put_bytes(message.topic.as_bytes(), out);
    if message.qos > 0 {
        out.put_u16(message.id);
    }
    if let Some(properties) = properties {
        put_varint(properties, out);
        if let Some(expiry) = message.expiry {
            out.put_u8(id::MESSAGE_EXPIRY_INTERVAL);
            out.put_u32(expiry);
        }
        if let Some(alias) = message.alias {
            out.put_u8(id::TOPIC_ALIAS);
            out.put_u16(alias);
        }
        out.put_slice(message.forward);
        for value in message.subscription_ids {
            out.put_u8(id::SUBSCRIPTION_ID);
            put_varint(*value as usize, out);
        }
    }
    out.put_slice(message.payload);
}

/// Returns whether a PUBLISH exceeds the client's maximum packet size.
pub(in crate::services::mqtt::embedded) fn is_too_large(
    version: Version,
    message: &OutgoingPublish<'_>,
    limit: u32,
) -> bool {
    let (length, _) = body(version, message);
    1 + varint_bytes(length) + length > limit as usize
}

/// Returns the remaining length of a PUBLISH, and the length of its properties on MQTT 5.
fn body(version: Version, message: &OutgoingPublish<'_>) -> (usize, Option<usize>) {
    let rest = 2 + message.topic.len() + if message.qos > 0 { 2 } else { 0 } + message.payload.len();
    if !is_v5(version) {
        return (rest, None);
    }
    let subscription_ids: usize = message.subscription_ids.iter().map(|value| 1 + varint_bytes(*value as usize)).sum();
    let fixed = message.expiry.map_or(0, |_| 5) + message.alias.map_or(0, |_| 3);
    let properties = fixed + message.forward.len() + subscription_ids;
    (rest + varint_bytes(properties) + properties, Some(properties))
}

fn put_packet(first: u8, body: &[u8], out: &mut BytesMut) {
    out.put_u8(first);
    put_varint(body.len(), out);
    out.put_slice(body);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(bytes.len()).expect("the length was checked by the caller"));
    out.put_slice(bytes);
}

fn put_varint(mut value: usize, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint_bytes(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}
