//! A message from a client.

use bytes::Bytes;

use super::properties::{self, id};
use super::{Cursor, Reason, is_new};
use crate::services::mqtt::wire::Version;
use crate::topic::check_topic;

/// A message as a client sends it.
#[derive(Debug)]
pub(in crate::services::mqtt::embedded) struct Published {
    /// Empty where `alias` stands for it.
    pub(in crate::services::mqtt::embedded) topic: String,
    pub(in crate::services::mqtt::embedded) payload: Bytes,
    pub(in crate::services::mqtt::embedded) qos: u8,
    pub(in crate::services::mqtt::embedded) retain: bool,
    /// 0 for QoS 0.
    pub(in crate::services::mqtt::embedded) id: u16,
    /// The bytes of the properties that subscribers get too.
    pub(in crate::services::mqtt::embedded) forward: Bytes,
    /// In seconds.
    pub(in crate::services::mqtt::embedded) expiry: Option<u32>,
    pub(in crate::services::mqtt::embedded) alias: Option<u16>,
}

/// What may come with a message.
const ALLOWED: [u8; 7] = [
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION,
    id::USER,
    id::ALIAS,
];

/// Reads what stands behind the length; `flags` is the lower half of the first byte.
pub(super) fn read(version: Version, flags: u8, mut cursor: Cursor) -> Result<Published, Reason> {
    let (qos, is_repeated) = (flags >> 1 & 3, flags & 8 != 0);
    if qos == 3 || (qos == 0 && is_repeated) {
        return Err(Reason::MALFORMED);
    }
    let topic = cursor.text()?;
    let id = if qos == 0 { 0 } else { cursor.id()? };
    let (mut forward, mut expiry, mut alias) = (Bytes::new(), None, None);
    if is_new(version) {
        let all = properties::read(&mut cursor, &ALLOWED)?;
        forward = properties::to_forward(&all)?;
        expiry = properties::number(&all, id::MESSAGE_EXPIRY);
        alias = properties::number(&all, id::ALIAS).and_then(|alias| u16::try_from(alias).ok());
    }
    match topic.is_empty() {
        true if alias.is_none() => return Err(Reason::PROTOCOL),
        false if check_topic(&topic).is_err() => return Err(Reason::TOPIC),
        _ => {}
    }
    // A copy: else a small message keeps everything alive that was read with it.
    let payload = Bytes::copy_from_slice(&cursor.rest());
    Ok(Published { topic, payload, qos, retain: flags & 1 != 0, id, forward, expiry, alias })
}
