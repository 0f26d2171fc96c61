//! Splits bytes from a client into packets.

use std::collections::HashMap;

use bytes::{Buf as _, BytesMut};

use super::packet::{self, Connect, Packet, Publish, ReasonCode};
use super::sessions::TOPIC_ALIAS_MAXIMUM;
use crate::services::mqtt::wire::Version;

/// Maximum size of CONNECT, in bytes: all its fields at their maximum.
const MAX_CONNECT_SIZE: usize = 384 << 10;
/// Maximum number of packets per step, so that one connection does not hold the broker's lock for long.
const BATCH_LIMIT: usize = 64;

/// Packets that are applied in one step.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) packets: Vec<Packet>,
    /// Why the packet behind them is malformed.
    pub(super) error: Option<ReasonCode>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.error.is_none()
    }

    /// Returns whether there may be more packets.
    pub(super) fn is_full(&self) -> bool {
        self.packets.len() == BATCH_LIMIT
    }
}

/// Splits bytes from one client into packets, and resolves topic aliases.
pub(super) struct PacketDecoder {
    /// Received bytes that are not parsed yet.
    pub(super) buffer: BytesMut,
    /// The protocol version of CONNECT.
    pub(super) version: Version,
    /// Maximum packet size, in bytes.
    limit: usize,
    /// Topic aliases of the client.
    aliases: HashMap<u16, String>,
}

impl PacketDecoder {
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), version: Version::V4, limit, aliases: HashMap::new() }
    }

    /// Returns CONNECT, if it has been received completely.
    pub(super) fn connect(&mut self) -> Result<Option<Connect>, ReasonCode> {
        // A malformed CONNECT is answered in its own protocol version.
        if let Ok(Some((head, _))) = packet::fixed_header(&self.buffer)
            && self.buffer[head..].starts_with(b"\0\x04MQTT\x05")
        {
            self.version = Version::V5;
        }
        match self.next(MAX_CONNECT_SIZE.min(self.limit.max(1_024)))? {
            Some(Packet::Connect(connect)) => {
                self.version = connect.version;
                Ok(Some(*connect))
            }
            Some(_) => Err(ReasonCode::PROTOCOL_ERROR),
            None => Ok(None),
        }
    }

    /// Returns the packets that have been received completely, up to a limit.
    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        while !batch.is_full() {
            match self.next(self.limit) {
                Ok(Some(packet)) => batch.packets.push(packet),
                Ok(None) => break,
                Err(reason) => {
                    batch.error = Some(reason);
                    break;
                }
            }
        }
        batch
    }

    fn next(&mut self, limit: usize) -> Result<Option<Packet>, ReasonCode> {
        let Some((head, body)) = packet::fixed_header(&self.buffer)? else { return Ok(None) };
        if head + body > limit {
            return Err(ReasonCode::PACKET_TOO_LARGE);
        }
        if self.buffer.len() < head + body {
            return Ok(None);
        }
        let first = self.buffer[0];
        self.buffer.advance(head);
        let body = self.buffer.split_to(body).freeze();
        let packet = packet::decode(self.version, first, body)?;
        match packet {
            Packet::Publish(publish) => self.resolve_topic_alias(publish).map(|publish| Some(Packet::Publish(publish))),
            other => Ok(Some(other)),
        }
    }

    /// Replaces a topic alias by its topic.
    ///
    /// Source: MQTT 5.0, section 3.3.2.3.4.
    fn resolve_topic_alias(&mut self, mut publish: Publish) -> Result<Publish, ReasonCode> {
        let Some(alias) = publish.alias else { return Ok(publish) };
        if alias == 0 || alias > TOPIC_ALIAS_MAXIMUM {
            return Err(ReasonCode::TOPIC_ALIAS_INVALID);
        }
        if publish.topic.is_empty() {
            publish.topic.clone_from(self.aliases.get(&alias).ok_or(ReasonCode::PROTOCOL_ERROR)?);
        } else {
            self.aliases.insert(alias, publish.topic.clone());
        }
        Ok(publish)
    }
}
