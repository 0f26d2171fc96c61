//! Protocol versions, and the choice of their codec.

use bytes::BytesMut;

use crate::services::mqtt::settings::{ConnectionSettings, Protocol};
use crate::services::mqtt::wire::alias::OutgoingAliases;
use crate::services::mqtt::wire::error::ConnectionError;
use crate::services::mqtt::wire::packet::{Incoming, Outgoing};
use crate::services::mqtt::wire::{v4, v5};

/// A protocol version, named after its protocol level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services::mqtt) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.0.
    V5,
}

impl Version {
    /// Returns the version to try first.
    pub(in crate::services::mqtt) fn preferred(protocol: Protocol) -> Self {
        if protocol == Protocol::V4 { Self::V4 } else { Self::V5 }
    }

    /// Returns the other version, for a broker that does not support this one.
    pub(in crate::services::mqtt) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V5,
            Self::V5 => Self::V4,
        }
    }

    /// Encodes a CONNECT.
    pub(in crate::services::mqtt) fn encode_connect(
        self,
        settings: &ConnectionSettings,
        into: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        match self {
            Self::V4 => v4::encode_connect(settings, into),
            Self::V5 => v5::encode_connect(settings, into),
        }
    }

    /// Encodes a packet.
    pub(in crate::services::mqtt) fn encode(
        self,
        packet: Outgoing,
        into: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        self.encode_with(packet, &mut OutgoingAliases::default(), into)
    }

    /// Encodes a packet, with topic aliases.
    pub(in crate::services::mqtt) fn encode_with(
        self,
        packet: Outgoing,
        aliases: &mut OutgoingAliases,
        into: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        match self {
            Self::V4 => v4::encode(packet, into),
            Self::V5 => v5::encode(packet, aliases, into),
        }
    }

    /// Decodes a packet that has been read completely.
    pub(super) fn decode(self, from: &mut BytesMut) -> Result<Incoming, ConnectionError> {
        match self {
            Self::V4 => v4::decode(from),
            Self::V5 => v5::decode(from),
        }
    }
}
