//! Packets as bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::properties::id;
use super::{Reason, is_new};
use crate::services::mqtt::wire::Version;

/// What a client is told at the beginning.
#[derive(Debug, Default)]
pub(in crate::services::mqtt::embedded) struct ConnAck {
    /// Whether we remember it.
    pub(in crate::services::mqtt::embedded) same_session: bool,
    /// How long its session is kept, if that is not what it asked for; in seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// How many messages of QoS 2 may be on the way to us.
    pub(in crate::services::mqtt::embedded) window: u16,
    /// The largest packet we take.
    pub(in crate::services::mqtt::embedded) max_packet: u32,
    /// How many aliases for topics we take.
    pub(in crate::services::mqtt::embedded) aliases: u16,
    /// The client id, if we have chosen it.
    pub(in crate::services::mqtt::embedded) client_id: Option<String>,
    /// The keep-alive, if it is not what the client asked for; in seconds.
    pub(in crate::services::mqtt::embedded) keep_alive: Option<u16>,
}

/// A message on its way to a client.
pub(in crate::services::mqtt::embedded) struct Delivered<'a> {
    pub(in crate::services::mqtt::embedded) topic: &'a str,
    pub(in crate::services::mqtt::embedded) payload: &'a Bytes,
    pub(in crate::services::mqtt::embedded) forward: &'a Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    pub(in crate::services::mqtt::embedded) dup: bool,
    /// 0 for QoS 0.
    pub(in crate::services::mqtt::embedded) id: u16,
    /// In seconds from now.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    pub(in crate::services::mqtt::embedded) numbers: &'a [u32],
    pub(in crate::services::mqtt::embedded) alias: Option<u16>,
}

/// Writes the answer to a greeting.
pub(in crate::services::mqtt::embedded) fn greet(version: Version, greeting: &ConnAck, out: &mut BytesMut) {
    let mut inside = BytesMut::new();
    inside.put_slice(&[greeting.same_session.into(), 0]);
    if is_new(version) {
        let mut properties = BytesMut::new();
        if let Some(expiry) = greeting.expiry {
            properties.put_u8(id::SESSION_EXPIRY);
            properties.put_u32(expiry);
        }
        properties.put_u8(id::RECEIVE_MAXIMUM);
        properties.put_u16(greeting.window);
        properties.put_u8(id::MAX_PACKET);
        properties.put_u32(greeting.max_packet);
        properties.put_u8(id::ALIAS_MAXIMUM);
        properties.put_u16(greeting.aliases);
        if let Some(client_id) = &greeting.client_id {
            properties.put_u8(id::ASSIGNED_ID);
            put_bytes(client_id.as_bytes(), &mut properties);
        }
        if let Some(keep_alive) = greeting.keep_alive {
            properties.put_u8(id::KEEP_ALIVE);
            properties.put_u16(keep_alive);
        }
        put_varint(properties.len(), &mut inside);
        inside.put_slice(&properties);
    }
    put_packet(0x20, &inside, out);
}

/// Writes the answer to a greeting that is refused, if the version has words for it.
pub(in crate::services::mqtt::embedded) fn refuse(version: Version, reason: Reason, out: &mut BytesMut) {
    match (is_new(version), reason.old()) {
        (true, _) => put_packet(0x20, &[0, reason.0, 0], out),
        (false, Some(code)) => put_packet(0x20, &[0, code], out),
        (false, None) => {}
    }
}

/// Writes a PUBACK, PUBREC, PUBREL or PUBCOMP: `first` is its first byte.
pub(in crate::services::mqtt::embedded) fn ack(
    version: Version,
    first: u8,
    id: u16,
    reason: Reason,
    out: &mut BytesMut,
) {
    let [high, low] = id.to_be_bytes();
    match is_new(version) && reason != Reason::SUCCESS {
        true => put_packet(first, &[high, low, reason.0], out),
        false => put_packet(first, &[high, low], out),
    }
}

/// Writes a SUBACK: for each filter, the QoS granted or why not.
pub(in crate::services::mqtt::embedded) fn subscribed(
    version: Version,
    id: u16,
    answers: &[Result<u8, Reason>],
    out: &mut BytesMut,
) {
    let mut inside = BytesMut::new();
    inside.put_u16(id);
    if is_new(version) {
        inside.put_u8(0);
    }
    inside.extend(answers.iter().map(|answer| match answer {
        Ok(qos) => *qos,
        Err(reason) => {
            if is_new(version) {
                reason.0
            } else {
                0x80
            }
        }
    }));
    put_packet(0x90, &inside, out);
}

/// Writes an UNSUBACK.
pub(in crate::services::mqtt::embedded) fn unsubscribed(
    version: Version,
    id: u16,
    answers: &[Reason],
    out: &mut BytesMut,
) {
    let mut inside = BytesMut::new();
    inside.put_u16(id);
    if is_new(version) {
        inside.put_u8(0);
        inside.extend(answers.iter().map(|answer| answer.0));
    }
    put_packet(0xb0, &inside, out);
}

/// Writes the answer to a ping.
pub(in crate::services::mqtt::embedded) fn pong(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// Writes why the connection ends; MQTT 3.1.1 has no words for it.
pub(in crate::services::mqtt::embedded) fn goodbye(version: Version, reason: Reason, out: &mut BytesMut) {
    if is_new(version) {
        put_packet(0xe0, &[reason.0, 0], out);
    }
}

/// Writes a message.
pub(in crate::services::mqtt::embedded) fn delivered(version: Version, message: &Delivered<'_>, out: &mut BytesMut) {
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
            out.put_u8(id::MESSAGE_EXPIRY);
            out.put_u32(expiry);
        }
        if let Some(alias) = message.alias {
            out.put_u8(id::ALIAS);
            out.put_u16(alias);
        }
        out.put_slice(message.forward);
        for number in message.numbers {
            out.put_u8(id::NUMBER);
            put_varint(*number as usize, out);
        }
    }
    out.put_slice(message.payload);
}

/// Returns whether a message is more than a client takes.
pub(in crate::services::mqtt::embedded) fn is_too_large(version: Version, message: &Delivered<'_>, limit: u32) -> bool {
    let (length, _) = body(version, message);
    1 + varint_bytes(length) + length > limit as usize
}

/// Returns the bytes behind a message's length, and those of its properties if it has any.
fn body(version: Version, message: &Delivered<'_>) -> (usize, Option<usize>) {
    let rest = 2 + message.topic.len() + if message.qos > 0 { 2 } else { 0 } + message.payload.len();
    if !is_new(version) {
        return (rest, None);
    }
    let numbers: usize = message.numbers.iter().map(|number| 1 + varint_bytes(*number as usize)).sum();
    let fixed = message.expiry.map_or(0, |_| 5) + message.alias.map_or(0, |_| 3);
    let properties = fixed + message.forward.len() + numbers;
    (rest + varint_bytes(properties) + properties, Some(properties))
}

fn put_packet(first: u8, body: &[u8], out: &mut BytesMut) {
    out.put_u8(first);
    put_varint(body.len(), out);
    out.put_slice(body);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(bytes.len()).expect("whoever made it has checked its length"));
    out.put_slice(bytes);
}

fn put_varint(mut number: usize, out: &mut BytesMut) {
    while number > 0x7f {
        out.put_u8(number as u8 & 0x7f | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn varint_bytes(number: usize) -> usize {
    match number {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}
