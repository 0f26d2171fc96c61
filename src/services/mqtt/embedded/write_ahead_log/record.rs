//! What is written down, one change at a time.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::services::mqtt::embedded::message::{ClientId, Delivery, Message, Moment};
use crate::services::mqtt::embedded::packet::{Cursor, Options, Reason};

/// A change to what outlives the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::services::mqtt::embedded) enum Record {
    Retain(Arc<Message>),
    Unretain(String),
    /// A session begins or changes: how long it is kept, and since when its client is away.
    Session {
        client: ClientId,
        expiry: u32,
        away: Option<Moment>,
    },
    End(ClientId),
    Subscribe {
        client: ClientId,
        filter: String,
        options: Options,
        number: Option<u32>,
    },
    Unsubscribe {
        client: ClientId,
        filter: String,
    },
    Queue {
        client: ClientId,
        delivery: Delivery,
    },
    /// A message was sent under this packet id.
    Sent {
        client: ClientId,
        seq: u64,
        id: u16,
    },
    /// A message of QoS 2 has arrived at the client.
    Received {
        client: ClientId,
        id: u16,
    },
    /// A message needs nothing any more.
    Done {
        client: ClientId,
        seq: u64,
    },
    /// A message of QoS 2 was taken from the client.
    Took {
        client: ClientId,
        id: u16,
    },
    Released {
        client: ClientId,
        id: u16,
    },
}

impl Record {
    /// Writes it.
    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Retain(message) => {
                out.put_u8(1);
                put_message(message, out);
            }
            Self::Unretain(topic) => put_head(2, topic, out),
            Self::Session { client, expiry, away } => {
                put_head(3, client, out);
                out.put_u32(*expiry);
                out.put_u64(away.unwrap_or(0));
            }
            Self::End(client) => put_head(4, client, out),
            Self::Subscribe { client, filter, options, number } => {
                put_head(5, client, out);
                put_long(filter.as_bytes(), out);
                out.put_u8(options.bits());
                out.put_u32(number.unwrap_or(0));
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
                put_head(8, client, out);
                out.put_u64(*seq);
                out.put_u16(*id);
            }
            Self::Received { client, id } => put_id(9, client, *id, out),
            Self::Done { client, seq } => {
                put_head(10, client, out);
                out.put_u64(*seq);
            }
            Self::Took { client, id } => put_id(11, client, *id, out),
            Self::Released { client, id } => put_id(12, client, *id, out),
        }
    }

    /// Reads one.
    pub(super) fn read(bytes: Bytes) -> Result<Self, Reason> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8()?;
        if kind == 1 {
            return message(&mut cursor).map(|message| Self::Retain(Arc::new(message)));
        }
        let name = long_text(&mut cursor)?;
        let client = ClientId::from(name.as_str());
        Ok(match kind {
            2 => Self::Unretain(name),
            3 => Self::Session { client, expiry: cursor.u32()?, away: Some(cursor.u64()?).filter(|away| *away > 0) },
            4 => Self::End(client),
            5 => Self::Subscribe {
                client,
                filter: long_text(&mut cursor)?,
                options: Options::from_bits(cursor.u8()?)?,
                number: Some(cursor.u32()?).filter(|number| *number > 0),
            },
            6 => Self::Unsubscribe { client, filter: long_text(&mut cursor)? },
            7 => Self::Queue { client, delivery: delivery(&mut cursor)? },
            8 => Self::Sent { client, seq: cursor.u64()?, id: cursor.u16()? },
            9 => Self::Received { client, id: cursor.u16()? },
            10 => Self::Done { client, seq: cursor.u64()? },
            11 => Self::Took { client, id: cursor.u16()? },
            12 => Self::Released { client, id: cursor.u16()? },
            _ => return Err(Reason::MALFORMED),
        })
    }
}

fn put_head(kind: u8, name: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    put_long(name.as_bytes(), out);
}

fn put_id(kind: u8, client: &ClientId, id: u16, out: &mut BytesMut) {
    put_head(kind, client, out);
    out.put_u16(id);
}

fn put_long(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(bytes.len()).expect("no packet is so long"));
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
    out.put_u32(u32::try_from(delivery.numbers.len()).expect("no client has so many subscriptions"));
    for number in &delivery.numbers {
        out.put_u32(*number);
    }
    put_message(&delivery.message, out);
}

fn long_text(cursor: &mut Cursor) -> Result<String, Reason> {
    String::from_utf8(cursor.long_bytes()?.into()).map_err(|_| Reason::MALFORMED)
}

fn message(cursor: &mut Cursor) -> Result<Message, Reason> {
    let topic = long_text(cursor)?;
    let payload = Bytes::copy_from_slice(&cursor.long_bytes()?);
    let forward = Bytes::copy_from_slice(&cursor.long_bytes()?);
    let bits = cursor.u8()?;
    let expires = Some(cursor.u64()?).filter(|expires| *expires > 0);
    Ok(Message { topic, payload, qos: bits & 3, retain: bits & 4 != 0, forward, expires })
}

fn delivery(cursor: &mut Cursor) -> Result<Delivery, Reason> {
    let seq = cursor.u64()?;
    let bits = cursor.u8()?;
    let numbers = (0..cursor.u32()?).map(|_| cursor.u32()).collect::<Result<_, _>>()?;
    let message = Arc::new(message(cursor)?);
    Ok(Delivery { seq, message, qos: bits & 3, retain: bits & 4 != 0, numbers })
}
