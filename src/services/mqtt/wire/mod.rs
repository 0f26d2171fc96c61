//! MQTT as bytes: packets in our own words, whichever version is spoken, read and written by `rumqttc`'s codec.
//!
//! Only the codec of `rumqttc` is used. Its event loop loses messages, subscriptions and sometimes itself when connections break
//! (issues 250, 263, 664, 930, 1014, 1056 there), while all that it would do for us is what the supervisor must do itself.

mod frames;
mod stream;
mod tls;
mod v4;

pub(super) use self::frames::{Frame, Frames};
pub(super) use self::stream::{Stream, open, speaks_mqtt};

use bytes::BytesMut;

use crate::services::mqtt::message::Publish;
use crate::services::mqtt::settings::Settings;
use crate::value::Map;

/// What a broker sends.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The answer to our greeting: whether it remembers us, or why it refuses.
    Greeted(Result<bool, String>),
    Publish(Arrived),
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
    Pong,
    /// It closes the connection and says why.
    Disconnect(String),
}

/// A message as it arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) topic: String,
    pub(super) payload: bytes::Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
    /// 0 for QoS 0.
    pub(super) id: u16,
    /// The numbers of the filters for which it came, in MQTT 5.
    pub(super) numbers: Vec<u32>,
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
        wanted: Vec<Wanted>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
}

/// A filter to subscribe.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) filter: String,
    pub(super) qos: u8,
    /// What messages for it are to be marked with, in MQTT 5.
    pub(super) number: Option<u32>,
    /// Whether retained messages are to be sent; MQTT 3.1.1 always does.
    pub(super) with_retained: bool,
}

/// Why a connection can not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it sent what is no MQTT: {0}")]
    Malformed(String),
    #[error("it closed the connection")]
    Closed,
    #[error("it closed the connection: {0}")]
    Dismissed(String),
    #[error("{0}")]
    Refused(String),
    #[error("no answer for {0}")]
    Silent(String),
}

/// Writes the first packet of a connection.
pub(super) fn greet(settings: &Settings, into: &mut BytesMut) -> Result<(), Broken> {
    v4::greet(settings, into)
}

/// Writes a packet.
pub(super) fn encode(packet: Outgoing, into: &mut BytesMut) -> Result<(), Broken> {
    v4::encode(packet, into)
}
