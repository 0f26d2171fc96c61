//! CONNECT.

use bytes::Bytes;

use super::cursor::Cursor;
use super::properties::{self, id, is_v5};
use super::reason::ReasonCode;
use crate::services::mqtt::wire::Version;
use crate::topic::check_topic;

/// A CONNECT packet.
#[derive(Debug)]
pub(in crate::services::mqtt::embedded) struct Connect {
    pub(in crate::services::mqtt::embedded) version: Version,
    pub(in crate::services::mqtt::embedded) client_id: String,
    pub(in crate::services::mqtt::embedded) clean_start: bool,
    /// Session expiry interval, in seconds; `None`: never expires.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// In seconds; 0: no keep-alive.
    pub(in crate::services::mqtt::embedded) keep_alive: u16,
    /// Receive maximum of the client.
    pub(in crate::services::mqtt::embedded) receive_maximum: u16,
    /// Topic alias maximum of the client.
    pub(in crate::services::mqtt::embedded) topic_alias_maximum: u16,
    /// Maximum packet size of the client, in bytes.
    pub(in crate::services::mqtt::embedded) max_packet: u32,
    pub(in crate::services::mqtt::embedded) will: Option<Will>,
    pub(in crate::services::mqtt::embedded) username: Option<String>,
    pub(in crate::services::mqtt::embedded) password: Option<Bytes>,
}

/// A will message.
#[derive(Debug, Clone)]
pub(in crate::services::mqtt::embedded) struct Will {
    pub(in crate::services::mqtt::embedded) topic: String,
    pub(in crate::services::mqtt::embedded) payload: Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    pub(in crate::services::mqtt::embedded) forward: Bytes,
    /// Message expiry interval, in seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// Will delay interval, in seconds.
    pub(in crate::services::mqtt::embedded) delay: u32,
}

const OF_CONNECT: [u8; 9] = [
    id::SESSION_EXPIRY_INTERVAL,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_PACKET_SIZE,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REQUEST_RESPONSE_INFO,
    id::REQUEST_PROBLEM_INFO,
    id::USER_PROPERTY,
    id::AUTH_METHOD,
    id::AUTH_DATA,
];
const OF_WILL: [u8; 7] = [
    id::WILL_DELAY_INTERVAL,
    id::PAYLOAD_FORMAT_INDICATOR,
    id::MESSAGE_EXPIRY_INTERVAL,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
];

/// Parses the packet behind the fixed header.
///
/// Source: MQTT 5.0, section 3.1; MQTT 3.1.1, section 3.1. MQTT 3.1 is treated as 3.1.1.
pub(super) fn read(mut cursor: Cursor) -> Result<Connect, ReasonCode> {
    let version = version(&mut cursor)?;
    let flags = cursor.u8()?;
    if flags & 1 != 0 {
        return Err(ReasonCode::MALFORMED_PACKET);
    }
    let keep_alive = cursor.u16()?;
    let mut connect = Connect {
        version,
        client_id: String::new(),
        clean_start: flags & 2 != 0,
        expiry: (flags & 2 != 0).then_some(0),
        keep_alive,
        receive_maximum: u16::MAX,
        topic_alias_maximum: 0,
        max_packet: u32::MAX,
        will: None,
        username: None,
        password: None,
    };
    if is_v5(version) {
        connect.take_properties(&mut cursor)?;
    }
    connect.client_id = cursor.text()?;
    connect.will = will(version, flags, &mut cursor)?;
    if flags & 0x80 != 0 {
        connect.username = Some(cursor.text()?);
    }
    if flags & 0x40 != 0 {
        connect.password = Some(cursor.bytes()?);
    }
    if flags & 0xc0 == 0x40 && !is_v5(version) {
        return Err(ReasonCode::MALFORMED_PACKET);
    }
    if cursor.is_empty() { Ok(connect) } else { Err(ReasonCode::MALFORMED_PACKET) }
}

fn version(cursor: &mut Cursor) -> Result<Version, ReasonCode> {
    let name = cursor.bytes()?;
    match (&name[..], cursor.u8()?) {
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT", 4) | (b"MQIsdp", 3) => Ok(Version::V4),
        _ => Err(ReasonCode::UNSUPPORTED_VERSION),
    }
}

impl Connect {
    fn take_properties(&mut self, cursor: &mut Cursor) -> Result<(), ReasonCode> {
        let all = properties::read(cursor, &OF_CONNECT)?;
        if properties::has(&all, id::AUTH_METHOD) {
            return Err(ReasonCode::BAD_AUTH_METHOD);
        }
        self.expiry = match properties::value(&all, id::SESSION_EXPIRY_INTERVAL) {
            Some(u32::MAX) => None,
            given => Some(given.unwrap_or(0)),
        };
        self.topic_alias_maximum = properties::value(&all, id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0) as u16;
        self.receive_maximum = properties::value(&all, id::RECEIVE_MAXIMUM).unwrap_or(u16::MAX.into()) as u16;
        self.max_packet = properties::value(&all, id::MAXIMUM_PACKET_SIZE).unwrap_or(u32::MAX);
        if self.receive_maximum == 0 || self.max_packet == 0 || properties::has(&all, id::AUTH_DATA) {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        Ok(())
    }
}

fn will(version: Version, flags: u8, cursor: &mut Cursor) -> Result<Option<Will>, ReasonCode> {
    let (qos, retain) = (flags >> 3 & 3, flags & 0x20 != 0);
    if flags & 4 == 0 {
        return if qos == 0 && !retain { Ok(None) } else { Err(ReasonCode::MALFORMED_PACKET) };
    }
    if qos == 3 {
        return Err(ReasonCode::MALFORMED_PACKET);
    }
    let (mut forward, mut expiry, mut delay) = (Bytes::new(), None, 0);
    if is_v5(version) {
        let all = properties::read(cursor, &OF_WILL)?;
        forward = properties::to_forward(&all)?;
        expiry = properties::value(&all, id::MESSAGE_EXPIRY_INTERVAL);
        delay = properties::value(&all, id::WILL_DELAY_INTERVAL).unwrap_or(0);
    }
    let topic = cursor.text()?;
    if check_topic(&topic).is_err() {
        return Err(ReasonCode::TOPIC_NAME_INVALID);
    }
    let payload = Bytes::copy_from_slice(&cursor.bytes()?);
    Ok(Some(Will { topic, payload, qos, retain, forward, expiry, delay }))
}
