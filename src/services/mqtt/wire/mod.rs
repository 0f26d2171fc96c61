//! MQTT as bytes: packets in our own words, whichever version is spoken, read and written by `rumqttc`'s codec.
//!
//! Only the codec of `rumqttc` is used. Its event loop loses messages, subscriptions and sometimes itself when connections break
//! (issues 250, 263, 664, 930, 1014, 1056 there), while all that it would do for us is what the supervisor must do itself.

mod alias;
mod frames;
mod proxy;
mod quick_ack;
mod stream;
mod tls;
mod v4;
mod v5;
mod websocket;

pub(super) use self::alias::Aliases;
pub(super) use self::frames::{Frame, Frames};
pub(super) use self::stream::{Stream, open, speaks_mqtt};
pub(super) use self::tls::certificates;
pub(super) use self::v5::properties;

use bytes::BytesMut;

use crate::services::mqtt::message::Publish;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::value::Map;

/// What a broker sends.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The answer to our greeting, or why it refuses.
    ConnAck(Result<ConnAck, String>),
    Publish(IncomingPublish),
    PubAck {
        id: u16,
        refused: Option<String>,
    },
    PubRec {
        id: u16,
        refused: Option<String>,
    },
    PubRel(u16),
    PubComp(u16),
    /// For each filter, the QoS granted or why not.
    SubAck {
        id: u16,
        granted: Vec<Result<u8, String>>,
    },
    UnsubAck(u16),
    PingResp,
    /// It closes the connection and says why.
    Disconnect(String),
}

/// What a broker says of itself when the connection begins; `None` where it says nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnAck {
    /// Whether it remembers us.
    pub(super) session_present: bool,
    /// Whether it marks messages with the numbers of the filters that they match.
    pub(super) has_subscription_ids: bool,
    /// How many messages may be on the way to it.
    pub(super) receive_maximum: Option<u16>,
    /// How often it wants to hear from us, in seconds.
    pub(super) keep_alive: Option<u16>,
    /// The largest packet it takes.
    pub(super) max_packet: Option<u32>,
    /// For how many topics it takes a number.
    pub(super) topic_alias_maximum: u16,
}

/// A message as it arrived.
#[derive(Debug, Default)]
pub(super) struct IncomingPublish {
    pub(super) topic: String,
    pub(super) payload: bytes::Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
    /// 0 for QoS 0.
    pub(super) id: u16,
    /// The number that stands for its topic, in MQTT 5.
    pub(super) alias: Option<u16>,
    /// The numbers of the filters for which it came, in MQTT 5.
    pub(super) subscription_ids: Vec<u32>,
    pub(super) properties: Map,
}

/// What we send.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// An `id` of 0 for QoS 0.
    Publish {
        publish: Publish,
        id: u16,
        dup: bool,
    },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        filters: Vec<SubscribeFilter>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    PingReq,
    Disconnect,
}

/// A filter to subscribe.
#[derive(Debug, Clone)]
pub(super) struct SubscribeFilter {
    pub(super) filter: String,
    pub(super) qos: u8,
    /// Whether what we publish ourselves is left out; MQTT 3.1.1 can not.
    pub(super) no_local: bool,
    /// What messages for it are to be marked with, in MQTT 5.
    pub(super) subscription_id: Option<u32>,
    /// Whether retained messages are to be sent; MQTT 3.1.1 always does.
    pub(super) send_retained: bool,
}

/// Why a connection can not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it sent what is no MQTT: {0}")]
    Malformed(String),
    #[error("it closed the connection")]
    Closed,
    #[error("it closed the connection: {0}")]
    ServerDisconnect(String),
    #[error("{0}")]
    Refused(String),
    #[error("no answer for {0}")]
    Silent(String),
}

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

impl Version {
    /// Returns the other one, for a broker that does not understand this one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V5,
            Self::V5 => Self::V4,
        }
    }

    /// Writes the first packet of a connection.
    pub(super) fn write_connect(
        self,
        settings: &ConnectionSettings,
        into: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        match self {
            Self::V4 => v4::write_connect(settings, into),
            Self::V5 => v5::write_connect(settings, into),
        }
    }

    /// Writes a packet.
    pub(super) fn encode(self, packet: Outgoing, into: &mut BytesMut) -> Result<(), ConnectionError> {
        self.encode_with(packet, &mut Aliases::default(), into)
    }

    /// Writes a packet, with numbers for topics.
    pub(super) fn encode_with(
        self,
        packet: Outgoing,
        aliases: &mut Aliases,
        into: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        match self {
            Self::V4 => v4::encode(packet, into),
            Self::V5 => v5::encode(packet, aliases, into),
        }
    }

    /// Reads a packet that is there whole.
    fn decode(self, from: &mut BytesMut) -> Result<Incoming, ConnectionError> {
        match self {
            Self::V4 => v4::decode(from),
            Self::V5 => v5::decode(from),
        }
    }
}
