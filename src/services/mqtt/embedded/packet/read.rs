//! Bytes as packets.

use bytes::Bytes;

use super::properties::{self, id};
use super::{Cursor, Options, Packet, Reason, connect, is_new, publish};
use crate::services::mqtt::wire::Version;

/// Returns the bytes of a packet's head and of the rest, if they are known yet.
///
/// Source: MQTT 5.0, section 2.1.
pub(in crate::services::mqtt::embedded) fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Reason> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, length)));
        }
    }
    if bytes.len() > 4 { Err(Reason::MALFORMED) } else { Ok(None) }
}

/// Reads a packet: its first byte, and what stands behind the length.
pub(in crate::services::mqtt::embedded) fn decode(version: Version, first: u8, body: Bytes) -> Result<Packet, Reason> {
    let (kind, flags) = (first >> 4, first & 15);
    let mut cursor = Cursor::new(body);
    if kind == 3 {
        return publish::read(version, flags, cursor).map(Packet::Publish);
    }
    // Each of these kinds has its flags.
    if flags != if matches!(kind, 6 | 8 | 10) { 2 } else { 0 } {
        return Err(Reason::MALFORMED);
    }
    match kind {
        1 => connect::read(cursor).map(|connect| Packet::Connect(Box::new(connect))),
        4 => acked(version, &mut cursor).map(|(id, _)| Packet::PubAck(id)),
        5 => acked(version, &mut cursor).map(|(id, code)| Packet::PubRec(id, code >= 0x80)),
        6 => acked(version, &mut cursor).map(|(id, _)| Packet::PubRel(id)),
        7 => acked(version, &mut cursor).map(|(id, _)| Packet::PubComp(id)),
        8 => subscribe(version, cursor),
        10 => unsubscribe(version, cursor),
        12 if cursor.is_empty() => Ok(Packet::Ping),
        14 => disconnect(version, cursor),
        // Nobody has begun what AUTH would go on with.
        15 if is_new(version) => Err(Reason::PROTOCOL),
        _ => Err(Reason::MALFORMED),
    }
}

fn acked(version: Version, cursor: &mut Cursor) -> Result<(u16, u8), Reason> {
    let id = cursor.id()?;
    if !is_new(version) || cursor.is_empty() {
        return if cursor.is_empty() { Ok((id, 0)) } else { Err(Reason::MALFORMED) };
    }
    let code = cursor.u8()?;
    if !cursor.is_empty() {
        properties::read(cursor, &[id::REASON_TEXT, id::USER])?;
    }
    Ok((id, code))
}

fn subscribe(version: Version, mut cursor: Cursor) -> Result<Packet, Reason> {
    let id = cursor.id()?;
    let mut number = None;
    if is_new(version) {
        let all = properties::read(&mut cursor, &[id::NUMBER, id::USER])?;
        number = properties::number(&all, id::NUMBER);
        if number == Some(0) {
            return Err(Reason::PROTOCOL);
        }
    }
    let mut wanted = Vec::new();
    while !cursor.is_empty() {
        let filter = cursor.text()?;
        let options = Options::from_bits(cursor.u8()?)?;
        if !is_new(version) && options.bits() > 2 {
            return Err(Reason::MALFORMED);
        }
        // A group has no «own» messages.
        if options.no_local && filter.starts_with("$share/") {
            return Err(Reason::PROTOCOL);
        }
        wanted.push((filter, options));
    }
    if wanted.is_empty() { Err(Reason::PROTOCOL) } else { Ok(Packet::Subscribe { id, number, wanted }) }
}

fn unsubscribe(version: Version, mut cursor: Cursor) -> Result<Packet, Reason> {
    let id = cursor.id()?;
    if is_new(version) {
        properties::read(&mut cursor, &[id::USER])?;
    }
    let mut filters = Vec::new();
    while !cursor.is_empty() {
        filters.push(cursor.text()?);
    }
    if filters.is_empty() { Err(Reason::PROTOCOL) } else { Ok(Packet::Unsubscribe { id, filters }) }
}

fn disconnect(version: Version, mut cursor: Cursor) -> Result<Packet, Reason> {
    let (mut with_will, mut expiry) = (false, None);
    if is_new(version) && !cursor.is_empty() {
        with_will = cursor.u8()? != 0;
        if !cursor.is_empty() {
            let allowed = [id::SESSION_EXPIRY, id::REASON_TEXT, id::USER, id::SERVER_REFERENCE];
            expiry = properties::number(&properties::read(&mut cursor, &allowed)?, id::SESSION_EXPIRY);
        }
    }
    if cursor.is_empty() { Ok(Packet::Disconnect { with_will, expiry }) } else { Err(Reason::MALFORMED) }
}
