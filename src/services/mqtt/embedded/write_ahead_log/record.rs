//! Records of the write-ahead log.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::services::mqtt::embedded::message::{ClientId, Delivery, Message, UnixMillis};
use crate::services::mqtt::embedded::packet::{Cursor, ReasonCode, SubscribeOptions};

/// A change of persistent data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::services::mqtt::embedded) enum Record {
    Retain(Arc<Message>),
    Unretain(String),
    /// A session starts or changes.
    Session {
        client: ClientId,
        expiry: u32,
        offline_since: Option<UnixMillis>,
    },
    EndSession(ClientId),
    Subscribe {
        client: ClientId,
        filter: String,
        options: SubscribeOptions,
        subscription_id: Option<u32>,
    },
    Unsubscribe {
        client: ClientId,
        filter: String,
    },
    Queue {
        client: ClientId,
        delivery: Delivery,
    },
    /// A message was sent with this packet identifier.
    Sent {
        client: ClientId,
        seq: u64,
        id: u16,
    },
    /// PUBREC was received for a message.
    PubRecReceived {
        client: ClientId,
        id: u16,
    },
    /// A delivery is complete: acknowledged, expired or too large.
    Complete {
        client: ClientId,
        seq: u64,
    },
    /// A QoS 2 message was received from the client and awaits PUBREL.
    AwaitPubRel {
        client: ClientId,
        id: u16,
    },
    PubRelReceived {
        client: ClientId,
        id: u16,
    },
}

impl Record {
    /// Encodes the record.
    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Retain(message) => {
                out.put_u8(1);
                put_message(message, out);
            }
            Self::Unretain(topic) => put_head(2, topic, out),
            Self::Session { client, expiry, offline_since } => {
                put_head(3, client, out);
                out.put_u32(*expiry);
                out.put_u64(offline_since.unwrap_or(0));
            }
            Self::EndSession(client) => put_head(4, client, out),
            Self::Subscribe { client, filter, options, subscription_id } => {
                put_head(5, client, out);
                put_long(filter.as_bytes(), out);
                out.put_u8(options.bits());
                out.put_u32(subscription_id.unwrap_or(0));
            }
            Self::Unsubscribe { client, filter } => {
                put_head(6, client, out);
                put_long(filter.as_bytes(), out);
            }
            Self::Queue { client, delivery } => {
                put_head(7, client, out);
                put_delivery(delivery, out);
            }
            Self::Sent { client, seq, id } => {
                put_seq(8, client, *seq, out);
                out.put_u16(*id);
            }
            Self::PubRecReceived { client, id } => put_id(9, client, *id, out),
            Self::Complete { client, seq } => put_seq(10, client, *seq, out),
            Self::AwaitPubRel { client, id } => put_id(11, client, *id, out),
            Self::PubRelReceived { client, id } => put_id(12, client, *id, out),
        }
    }

    /// Decodes a record.
    pub(super) fn read(bytes: Bytes) -> Result<Self, ReasonCode> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8()?;
        if kind == 1 {
            return message(&mut cursor).map(|message| Self::Retain(Arc::new(message)));
        }
        let name = long_text(&mut cursor)?;
        let client = ClientId::from(name.as_str());
        Ok(match kind {
            2 => Self::Unretain(name),
            3 => Self::Session {
                client,
                expiry: cursor.u32()?,
                offline_since: Some(cursor.u64()?).filter(|offline_since| *offline_since > 0),
            },
            4 => Self::EndSession(client),
            5 => Self::Subscribe {
                client,
                filter: long_text(&mut cursor)?,
                options: SubscribeOptions::from_bits(cursor.u8()?)?,
                subscription_id: Some(cursor.u32()?).filter(|subscription_id| *subscription_id > 0),
            },
            6 => Self::Unsubscribe { client, filter: long_text(&mut cursor)? },
            7 => Self::Queue { client, delivery: delivery(&mut cursor)? },
            8 => Self::Sent { client, seq: cursor.u64()?, id: cursor.u16()? },
            9 => Self::PubRecReceived { client, id: cursor.u16()? },
            10 => Self::Complete { client, seq: cursor.u64()? },
            11 => Self::AwaitPubRel { client, id: cursor.u16()? },
            12 => Self::PubRelReceived { client, id: cursor.u16()? },
            _ => return Err(ReasonCode::MALFORMED_PACKET),
        })
    }
}

fn put_head(kind: u8, name: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    put_long(name.as_bytes(), out);
}

fn put_seq(kind: u8, client: &ClientId, seq: u64, out: &mut BytesMut) {
    put_head(kind, client, out);
    out.put_u64(seq);
}

fn put_id(kind: u8, client: &ClientId, id: u16, out: &mut BytesMut) {
    put_head(kind, client, out);
    out.put_u16(id);
}

fn put_long(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(bytes.len()).expect("a packet is shorter than 256 MiB"));
    out.put_slice(bytes);
}

fn put_message(message: &Message, out: &mut BytesMut) {
    put_long(message.topic.as_bytes(), out);
    put_long(&message.payload, out);
    put_long(&message.forward, out);
    out.put_u8(message.qos | u8::from(message.retain) << 2);
    out.put_u64(message.expires.unwrap_or(0));
}

fn put_delivery(delivery: &Delivery, out: &mut BytesMut) {
    out.put_u64(delivery.seq);
    out.put_u8(delivery.qos | u8::from(delivery.retain) << 2);
    out.put_u32(
        u32::try_from(delivery.subscription_ids.len()).expect("a client has at most MAX_FILTERS subscriptions"),
    );
    for subscription_id in &delivery.subscription_ids {
        out.put_u32(*subscription_id);
    }
    put_message(&delivery.message, out);
}

fn long_text(cursor: &mut Cursor) -> Result<String, ReasonCode> {
    String::from_utf8(cursor.long_bytes()?.into()).map_err(|_| ReasonCode::MALFORMED_PACKET)
}

fn message(cursor: &mut Cursor) -> Result<Message, ReasonCode> {
    let topic = long_text(cursor)?;
    let payload = Bytes::copy_from_slice(&cursor.long_bytes()?);
    let forward = Bytes::copy_from_slice(&cursor.long_bytes()?);
    let bits = cursor.u8()?;
    let expires = Some(cursor.u64()?).filter(|expires| *expires > 0);
    Ok(Message { topic, payload, qos: bits & 3, retain: bits & 4 != 0, forward, expires })
}

fn delivery(cursor: &mut Cursor) -> Result<Delivery, ReasonCode> {
    let seq = cursor.u64()?;
    let bits = cursor.u8()?;
    let subscription_ids = (0..cursor.u32()?).map(|_| cursor.u32()).collect::<Result<_, _>>()?;
    let message = Arc::new(message(cursor)?);
    Ok(Delivery { seq, message, qos: bits & 3, retain: bits & 4 != 0, subscription_ids })
}
