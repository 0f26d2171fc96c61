//! PUBLISH from a client.

use bytes::Bytes;

use super::cursor::Cursor;
use super::properties::{self, id, is_v5};
use super::reason::ReasonCode;
use crate::services::mqtt::wire::Version;
use crate::topic::check_topic;

/// A PUBLISH packet from a client.
#[derive(Debug)]
pub(in crate::services::mqtt::embedded) struct Publish {
    /// Empty if only `alias` is sent.
    pub(in crate::services::mqtt::embedded) topic: String,
    pub(in crate::services::mqtt::embedded) payload: Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    /// The packet identifier; 0 for QoS 0.
    pub(in crate::services::mqtt::embedded) id: u16,
    /// Encoded properties that are forwarded to subscribers unchanged.
    pub(in crate::services::mqtt::embedded) forward: Bytes,
    /// Message expiry interval, in seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    pub(in crate::services::mqtt::embedded) alias: Option<u16>,
}

/// Properties that PUBLISH may have.
const ALLOWED: [u8; 7] = [
    id::PAYLOAD_FORMAT_INDICATOR,
    id::MESSAGE_EXPIRY_INTERVAL,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
    id::TOPIC_ALIAS,
];

/// Parses the packet behind the fixed header; `flags` is the lower half of the first byte.
pub(super) fn read(version: Version, flags: u8, mut cursor: Cursor) -> Result<Publish, ReasonCode> {
    let (qos, is_repeated) = (flags >> 1 & 3, flags & 8 != 0);
    if qos == 3 || (qos == 0 && is_repeated) {
        return Err(ReasonCode::MALFORMED_PACKET);
    }
    let topic = cursor.text()?;
    let id = if qos == 0 { 0 } else { cursor.id()? };
    let (mut forward, mut expiry, mut alias) = (Bytes::new(), None, None);
    if is_v5(version) {
        let all = properties::read(&mut cursor, &ALLOWED)?;
        forward = properties::to_forward(&all)?;
        expiry = properties::value(&all, id::MESSAGE_EXPIRY_INTERVAL);
        alias = properties::value(&all, id::TOPIC_ALIAS).and_then(|alias| u16::try_from(alias).ok());
    }
    match topic.is_empty() {
        true if alias.is_none() => return Err(ReasonCode::PROTOCOL_ERROR),
        false if check_topic(&topic).is_err() => return Err(ReasonCode::TOPIC_NAME_INVALID),
        _ => {}
    }
    // A copy, so that a small payload does not keep the whole read buffer allocated.
    let payload = Bytes::copy_from_slice(&cursor.rest());
    Ok(Publish { topic, payload, qos, retain: flags & 1 != 0, id, forward, expiry, alias })
}
