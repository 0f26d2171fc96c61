//! The properties of MQTT 5.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Cursor, Reason};

/// Properties by their numbers.
///
/// Source: MQTT 5.0, section 2.2.2.2.
pub(super) mod id {
    pub(in super::super) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(in super::super) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(in super::super) const CONTENT_TYPE: u8 = 0x03;
    pub(in super::super) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in super::super) const CORRELATION: u8 = 0x09;
    pub(in super::super) const NUMBER: u8 = 0x0b;
    pub(in super::super) const SESSION_EXPIRY: u8 = 0x11;
    pub(in super::super) const ASSIGNED_ID: u8 = 0x12;
    pub(in super::super) const KEEP_ALIVE: u8 = 0x13;
    pub(in super::super) const AUTH_METHOD: u8 = 0x15;
    pub(in super::super) const AUTH_DATA: u8 = 0x16;
    pub(in super::super) const WANT_PROBLEMS: u8 = 0x17;
    pub(in super::super) const WILL_DELAY: u8 = 0x18;
    pub(in super::super) const WANT_RESPONSE: u8 = 0x19;
    pub(in super::super) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in super::super) const ALIAS_MAXIMUM: u8 = 0x22;
    pub(in super::super) const ALIAS: u8 = 0x23;
    pub(in super::super) const USER: u8 = 0x26;
    pub(in super::super) const MAX_PACKET: u8 = 0x27;
    pub(in super::super) const REASON_TEXT: u8 = 0x1f;
    pub(in super::super) const SERVER_REFERENCE: u8 = 0x1c;
}

/// One property: its number, its value if that is a number, and all its bytes.
pub(super) struct Property {
    pub(super) id: u8,
    pub(super) number: u32,
    pub(super) text: String,
    pub(super) raw: Bytes,
}

/// Reads the properties of a packet, of which only those with these numbers may be there.
pub(super) fn read(cursor: &mut Cursor, allowed: &[u8]) -> Result<Vec<Property>, Reason> {
    let count = cursor.varint()?;
    let mut inside = Cursor::new(cursor.take(count as usize)?);
    let mut all: Vec<Property> = Vec::new();
    while !inside.is_empty() {
        let property = one(&mut inside)?;
        if !allowed.contains(&property.id) {
            return Err(Reason::PROTOCOL);
        }
        if property.id != id::USER && all.iter().any(|other| other.id == property.id) {
            return Err(Reason::PROTOCOL);
        }
        all.push(property);
    }
    Ok(all)
}

fn one(cursor: &mut Cursor) -> Result<Property, Reason> {
    let all = cursor.peek();
    let id = cursor.u8()?;
    let (mut number, mut text) = (0, String::new());
    match id {
        id::PAYLOAD_FORMAT | id::WANT_PROBLEMS | id::WANT_RESPONSE => {
            number = cursor.u8()?.into();
            if number > 1 {
                return Err(Reason::PROTOCOL);
            }
        }
        id::RECEIVE_MAXIMUM | id::ALIAS_MAXIMUM | id::ALIAS => number = cursor.u16()?.into(),
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAX_PACKET => number = cursor.u32()?,
        id::NUMBER => number = cursor.varint()?,
        id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::AUTH_METHOD | id::REASON_TEXT | id::SERVER_REFERENCE => {
            text = cursor.text()?;
        }
        id::CORRELATION | id::AUTH_DATA => drop(cursor.bytes()?),
        id::USER => {
            cursor.text()?;
            cursor.text()?;
        }
        _ => return Err(Reason::MALFORMED),
    }
    let raw = all.slice(..all.len() - cursor.len());
    Ok(Property { id, number, text, raw })
}

/// Returns a property's value, if it is there.
pub(super) fn number(all: &[Property], id: u8) -> Option<u32> {
    all.iter().find(|property| property.id == id).map(|property| property.number)
}

/// Returns whether one is there.
pub(super) fn has(all: &[Property], id: u8) -> bool {
    all.iter().any(|property| property.id == id)
}

/// Returns the bytes of those that go to subscribers as they are.
///
/// Source: MQTT 5.0, sections 3.3.2.3.2 to 3.3.2.3.9.
pub(super) fn to_forward(all: &[Property]) -> Result<Bytes, Reason> {
    let mut forward = BytesMut::new();
    for property in all {
        match property.id {
            id::RESPONSE_TOPIC if property.text.is_empty() || property.text.contains(['+', '#']) => {
                return Err(Reason::PROTOCOL);
            }
            id::PAYLOAD_FORMAT | id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::CORRELATION | id::USER => {
                forward.put_slice(&property.raw);
            }
            _ => {}
        }
    }
    Ok(forward.freeze())
}
