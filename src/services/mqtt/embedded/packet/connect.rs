//! A client's greeting.

use bytes::Bytes;

use super::properties::{self, id};
use super::{Cursor, Reason, is_new};
use crate::services::mqtt::wire::Version;
use crate::topic::check_topic;

/// How a client begins.
#[derive(Debug)]
pub(in crate::services::mqtt::embedded) struct Connect {
    pub(in crate::services::mqtt::embedded) version: Version,
    pub(in crate::services::mqtt::embedded) client_id: String,
    pub(in crate::services::mqtt::embedded) clean_start: bool,
    /// How long the session is to be kept, in seconds; `None`: as long as we keep any.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// In seconds; 0: the client may be silent for ever.
    pub(in crate::services::mqtt::embedded) keep_alive: u16,
    /// How many messages may be on the way to it.
    pub(in crate::services::mqtt::embedded) window: u16,
    /// How many aliases for topics it takes.
    pub(in crate::services::mqtt::embedded) aliases: u16,
    /// The largest packet it takes.
    pub(in crate::services::mqtt::embedded) max_packet: u32,
    pub(in crate::services::mqtt::embedded) will: Option<LastWill>,
    pub(in crate::services::mqtt::embedded) username: Option<String>,
    pub(in crate::services::mqtt::embedded) password: Option<Bytes>,
}

/// What is told of a client that goes without a word.
#[derive(Debug, Clone)]
pub(in crate::services::mqtt::embedded) struct LastWill {
    pub(in crate::services::mqtt::embedded) topic: String,
    pub(in crate::services::mqtt::embedded) payload: Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    pub(in crate::services::mqtt::embedded) forward: Bytes,
    /// In seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    /// How long it waits for the client to come back, in seconds.
    pub(in crate::services::mqtt::embedded) delay: u32,
}

const OF_CONNECT: [u8; 9] = [
    id::SESSION_EXPIRY,
    id::RECEIVE_MAXIMUM,
    id::MAX_PACKET,
    id::ALIAS_MAXIMUM,
    id::WANT_RESPONSE,
    id::WANT_PROBLEMS,
    id::USER,
    id::AUTH_METHOD,
    id::AUTH_DATA,
];
const OF_WILL: [u8; 7] = [
    id::WILL_DELAY,
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION,
    id::USER,
];

/// Reads what stands behind the length.
///
/// Source: MQTT 5.0, section 3.1; MQTT 3.1.1, section 3.1; MQTT 3.1 is taken as 3.1.1.
pub(super) fn read(mut cursor: Cursor) -> Result<Connect, Reason> {
    let name = cursor.bytes()?;
    let version = match (&name[..], cursor.u8()?) {
        (b"MQTT", 5) => Version::V5,
        (b"MQTT", 4) | (b"MQIsdp", 3) => Version::V4,
        _ => return Err(Reason::VERSION),
    };
    let flags = cursor.u8()?;
    if flags & 1 != 0 {
        return Err(Reason::MALFORMED);
    }
    let keep_alive = cursor.u16()?;
    let mut connect = Connect {
        version,
        client_id: String::new(),
        clean_start: flags & 2 != 0,
        expiry: (flags & 2 != 0).then_some(0),
        keep_alive,
        window: u16::MAX,
        aliases: 0,
        max_packet: u32::MAX,
        will: None,
        username: None,
        password: None,
    };
    if is_new(version) {
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
    if flags & 0xc0 == 0x40 && !is_new(version) {
        return Err(Reason::MALFORMED);
    }
    if cursor.is_empty() { Ok(connect) } else { Err(Reason::MALFORMED) }
}

impl Connect {
    fn take_properties(&mut self, cursor: &mut Cursor) -> Result<(), Reason> {
        let all = properties::read(cursor, &OF_CONNECT)?;
        if properties::has(&all, id::AUTH_METHOD) {
            return Err(Reason::AUTH_METHOD);
        }
        self.expiry = match properties::number(&all, id::SESSION_EXPIRY) {
            Some(u32::MAX) => None,
            given => Some(given.unwrap_or(0)),
        };
        self.aliases = properties::number(&all, id::ALIAS_MAXIMUM).unwrap_or(0) as u16;
        self.window = properties::number(&all, id::RECEIVE_MAXIMUM).unwrap_or(u16::MAX.into()) as u16;
        self.max_packet = properties::number(&all, id::MAX_PACKET).unwrap_or(u32::MAX);
        if self.window == 0 || self.max_packet == 0 || properties::has(&all, id::AUTH_DATA) {
            return Err(Reason::PROTOCOL);
        }
        Ok(())
    }
}

fn will(version: Version, flags: u8, cursor: &mut Cursor) -> Result<Option<LastWill>, Reason> {
    let (qos, retain) = (flags >> 3 & 3, flags & 0x20 != 0);
    if flags & 4 == 0 {
        return if qos == 0 && !retain { Ok(None) } else { Err(Reason::MALFORMED) };
    }
    if qos == 3 {
        return Err(Reason::MALFORMED);
    }
    let (mut forward, mut expiry, mut delay) = (Bytes::new(), None, 0);
    if is_new(version) {
        let all = properties::read(cursor, &OF_WILL)?;
        forward = properties::to_forward(&all)?;
        expiry = properties::number(&all, id::MESSAGE_EXPIRY);
        delay = properties::number(&all, id::WILL_DELAY).unwrap_or(0);
    }
    let topic = cursor.text()?;
    if check_topic(&topic).is_err() {
        return Err(Reason::TOPIC);
    }
    let payload = Bytes::copy_from_slice(&cursor.bytes()?);
    Ok(Some(LastWill { topic, payload, qos, retain, forward, expiry, delay }))
}
