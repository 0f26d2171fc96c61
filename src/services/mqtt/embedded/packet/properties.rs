//! The properties of MQTT 5.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::cursor::Cursor;
use super::reason::ReasonCode;
use crate::services::mqtt::wire::Version;

/// Property identifiers.
///
/// Source: MQTT 5.0, section 2.2.2.2.
pub(super) mod id {
    pub(in super::super) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(in super::super) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(in super::super) const CONTENT_TYPE: u8 = 0x03;
    pub(in super::super) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in super::super) const CORRELATION_DATA: u8 = 0x09;
    pub(in super::super) const SUBSCRIPTION_ID: u8 = 0x0b;
    pub(in super::super) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(in super::super) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(in super::super) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(in super::super) const AUTH_METHOD: u8 = 0x15;
    pub(in super::super) const AUTH_DATA: u8 = 0x16;
    pub(in super::super) const REQUEST_PROBLEM_INFO: u8 = 0x17;
    pub(in super::super) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(in super::super) const REQUEST_RESPONSE_INFO: u8 = 0x19;
    pub(in super::super) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in super::super) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(in super::super) const TOPIC_ALIAS: u8 = 0x23;
    pub(in super::super) const USER_PROPERTY: u8 = 0x26;
    pub(in super::super) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(in super::super) const REASON_STRING: u8 = 0x1f;
    pub(in super::super) const SERVER_REFERENCE: u8 = 0x1c;
}

/// A property: identifier, numeric or text value, and its encoded bytes.
pub(super) struct Property {
    pub(super) id: u8,
    pub(super) value: u32,
    pub(super) text: String,
    pub(super) raw: Bytes,
}

/// Returns whether packets of this version have properties and reason codes.
pub(super) fn is_v5(version: Version) -> bool {
    version == Version::V5
}

/// Parses the properties of a packet; only the `allowed` ones may occur.
pub(super) fn read(cursor: &mut Cursor, allowed: &[u8]) -> Result<Vec<Property>, ReasonCode> {
    let count = cursor.varint()?;
    let mut inside = Cursor::new(cursor.take(count as usize)?);
    let mut all: Vec<Property> = Vec::new();
    while !inside.is_empty() {
        let property = one(&mut inside)?;
        if !allowed.contains(&property.id) {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        if property.id != id::USER_PROPERTY && all.iter().any(|other| other.id == property.id) {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        all.push(property);
    }
    Ok(all)
}

fn one(cursor: &mut Cursor) -> Result<Property, ReasonCode> {
    let all = cursor.peek();
    let id = cursor.u8()?;
    let (mut value, mut text) = (0, String::new());
    match id {
        id::PAYLOAD_FORMAT_INDICATOR | id::REQUEST_PROBLEM_INFO | id::REQUEST_RESPONSE_INFO => {
            value = cursor.u8()?.into();
            if value > 1 {
                return Err(ReasonCode::PROTOCOL_ERROR);
            }
        }
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => value = cursor.u16()?.into(),
        id::MESSAGE_EXPIRY_INTERVAL
        | id::SESSION_EXPIRY_INTERVAL
        | id::WILL_DELAY_INTERVAL
        | id::MAXIMUM_PACKET_SIZE => value = cursor.u32()?,
        id::SUBSCRIPTION_ID => value = cursor.varint()?,
        id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::AUTH_METHOD | id::REASON_STRING | id::SERVER_REFERENCE => {
            text = cursor.text()?;
        }
        id::CORRELATION_DATA | id::AUTH_DATA => drop(cursor.bytes()?),
        id::USER_PROPERTY => {
            cursor.text()?;
            cursor.text()?;
        }
        _ => return Err(ReasonCode::MALFORMED_PACKET),
    }
    let raw = all.slice(..all.len() - cursor.len());
    Ok(Property { id, value, text, raw })
}

/// Returns the numeric value of a property, if present.
pub(super) fn value(all: &[Property], id: u8) -> Option<u32> {
    all.iter().find(|property| property.id == id).map(|property| property.value)
}

/// Returns whether a property is present.
pub(super) fn has(all: &[Property], id: u8) -> bool {
    all.iter().any(|property| property.id == id)
}

/// Returns the encoded properties that are forwarded to subscribers unchanged.
///
/// Source: MQTT 5.0, sections 3.3.2.3.2 to 3.3.2.3.9.
pub(super) fn to_forward(all: &[Property]) -> Result<Bytes, ReasonCode> {
    let mut forward = BytesMut::new();
    for property in all {
        match property.id {
            id::RESPONSE_TOPIC if property.text.is_empty() || property.text.contains(['+', '#']) => {
                return Err(ReasonCode::PROTOCOL_ERROR);
            }
            id::PAYLOAD_FORMAT_INDICATOR
            | id::CONTENT_TYPE
            | id::RESPONSE_TOPIC
            | id::CORRELATION_DATA
            | id::USER_PROPERTY => {
                forward.put_slice(&property.raw);
            }
            _ => {}
        }
    }
    Ok(forward.freeze())
}
