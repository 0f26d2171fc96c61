//! Parsing of packets.

use bytes::Bytes;

use super::client_packet::Packet;
use super::cursor::Cursor;
use super::options::SubscribeOptions;
use super::properties::{self, id, is_v5};
use super::reason::ReasonCode;
use super::{connect, publish};
use crate::services::mqtt::wire::Version;

/// Returns the lengths of the fixed header and of the rest, or `None` if the header is incomplete.
///
/// Source: MQTT 5.0, section 2.1.
pub(in crate::services::mqtt::embedded) fn fixed_header(bytes: &[u8]) -> Result<Option<(usize, usize)>, ReasonCode> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, length)));
        }
    }
    if bytes.len() > 4 { Err(ReasonCode::MALFORMED_PACKET) } else { Ok(None) }
}

/// Parses a packet from its first byte and the bytes behind the fixed header.
pub(in crate::services::mqtt::embedded) fn decode(
    version: Version,
    first: u8,
    body: Bytes,
) -> Result<Packet, ReasonCode> {
    let (kind, flags) = (first >> 4, first & 15);
    let mut cursor = Cursor::new(body);
    if kind == 3 {
        return publish::read(version, flags, cursor).map(Packet::Publish);
    }
    // The flags of these packet types are fixed.
    if flags != if matches!(kind, 6 | 8 | 10) { 2 } else { 0 } {
        return Err(ReasonCode::MALFORMED_PACKET);
    }
    match kind {
        1 => connect::read(cursor).map(|connect| Packet::Connect(Box::new(connect))),
        4 => read_ack(version, &mut cursor).map(|(id, _)| Packet::PubAck(id)),
        5 => read_ack(version, &mut cursor).map(|(id, code)| Packet::PubRec(id, code >= 0x80)),
        6 => read_ack(version, &mut cursor).map(|(id, _)| Packet::PubRel(id)),
        7 => read_ack(version, &mut cursor).map(|(id, _)| Packet::PubComp(id)),
        8 => subscribe(version, cursor),
        10 => unsubscribe(version, cursor),
        12 if cursor.is_empty() => Ok(Packet::PingReq),
        14 => disconnect(version, cursor),
        // AUTH without an authentication method in CONNECT.
        15 if is_v5(version) => Err(ReasonCode::PROTOCOL_ERROR),
        _ => Err(ReasonCode::MALFORMED_PACKET),
    }
}

fn read_ack(version: Version, cursor: &mut Cursor) -> Result<(u16, u8), ReasonCode> {
    let id = cursor.id()?;
    if !is_v5(version) || cursor.is_empty() {
        return if cursor.is_empty() { Ok((id, 0)) } else { Err(ReasonCode::MALFORMED_PACKET) };
    }
    let code = cursor.u8()?;
    if !cursor.is_empty() {
        properties::read(cursor, &[id::REASON_STRING, id::USER_PROPERTY])?;
    }
    Ok((id, code))
}

fn subscribe(version: Version, mut cursor: Cursor) -> Result<Packet, ReasonCode> {
    let id = cursor.id()?;
    let mut subscription_id = None;
    if is_v5(version) {
        let all = properties::read(&mut cursor, &[id::SUBSCRIPTION_ID, id::USER_PROPERTY])?;
        subscription_id = properties::value(&all, id::SUBSCRIPTION_ID);
        if subscription_id == Some(0) {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
    }
    let mut filters = Vec::new();
    while !cursor.is_empty() {
        let filter = cursor.text()?;
        let options = SubscribeOptions::from_bits(cursor.u8()?)?;
        if !is_v5(version) && options.bits() > 2 {
            return Err(ReasonCode::MALFORMED_PACKET);
        }
        // No Local is a protocol error on a shared subscription.
        if options.no_local && filter.starts_with("$share/") {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        filters.push((filter, options));
    }
    if filters.is_empty() {
        Err(ReasonCode::PROTOCOL_ERROR)
    } else {
        Ok(Packet::Subscribe { id, subscription_id, filters })
    }
}

fn unsubscribe(version: Version, mut cursor: Cursor) -> Result<Packet, ReasonCode> {
    let id = cursor.id()?;
    if is_v5(version) {
        properties::read(&mut cursor, &[id::USER_PROPERTY])?;
    }
    let mut filters = Vec::new();
    while !cursor.is_empty() {
        filters.push(cursor.text()?);
    }
    if filters.is_empty() { Err(ReasonCode::PROTOCOL_ERROR) } else { Ok(Packet::Unsubscribe { id, filters }) }
}

fn disconnect(version: Version, mut cursor: Cursor) -> Result<Packet, ReasonCode> {
    let (mut with_will, mut expiry) = (false, None);
    if is_v5(version) && !cursor.is_empty() {
        with_will = cursor.u8()? != 0;
        if !cursor.is_empty() {
            let allowed = [id::SESSION_EXPIRY_INTERVAL, id::REASON_STRING, id::USER_PROPERTY, id::SERVER_REFERENCE];
            expiry = properties::value(&properties::read(&mut cursor, &allowed)?, id::SESSION_EXPIRY_INTERVAL);
        }
    }
    if cursor.is_empty() { Ok(Packet::Disconnect { with_will, expiry }) } else { Err(ReasonCode::MALFORMED_PACKET) }
}
