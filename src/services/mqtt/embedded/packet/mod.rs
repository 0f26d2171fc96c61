//! Packets as a broker sees them: read with suspicion, since anybody may have sent them.
//!
//! The codec of the client's side is no use here: it takes packets that a broker must refuse.

mod connect;
mod cursor;
mod properties;
mod publish;
mod read;
mod write;

pub(super) use self::connect::{Connect, LastWill};
pub(super) use self::cursor::Cursor;
pub(super) use self::publish::Published;
pub(super) use self::read::{decode, length};
pub(super) use self::write::{
    ConnAck, Delivered, ack, delivered, goodbye, greet, is_too_large, pong, refuse, subscribed, unsubscribed,
};

use crate::services::mqtt::wire::Version;

/// A packet from a client.
#[derive(Debug)]
pub(super) enum Packet {
    Connect(Box<Connect>),
    Publish(Published),
    PubAck(u16),
    /// Whether the client refuses the message.
    PubRec(u16, bool),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        /// What messages for these filters are to be marked with.
        number: Option<u32>,
        wanted: Vec<(String, Options)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        /// Whether the last will is to be told all the same.
        with_will: bool,
        /// How long the session is to be kept, if that changes; in seconds.
        expiry: Option<u32>,
    },
}

/// How a filter is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: u8,
    /// Whether the client's own messages are left out.
    pub(super) no_local: bool,
    /// Whether messages keep their `retain`.
    pub(super) as_published: bool,
    /// 0: retained messages come; 1: only if the subscription is new; 2: they do not.
    pub(super) handling: u8,
}

impl Options {
    /// Reads them from one byte.
    ///
    /// Source: MQTT 5.0, section 3.8.3.1.
    pub(super) fn from_bits(bits: u8) -> Result<Self, Reason> {
        let options =
            Self { qos: bits & 3, no_local: bits & 4 != 0, as_published: bits & 8 != 0, handling: bits >> 4 & 3 };
        match options.qos == 3 || options.handling == 3 || bits & 0xc0 != 0 {
            true => Err(Reason::MALFORMED),
            false => Ok(options),
        }
    }

    /// Returns them as one byte.
    pub(super) fn bits(self) -> u8 {
        self.qos | u8::from(self.no_local) << 2 | u8::from(self.as_published) << 3 | self.handling << 4
    }
}

/// Why something is refused, as MQTT 5 numbers it.
///
/// Source: MQTT 5.0, section 2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(pub(super) u8);

impl Reason {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const NO_SUBSCRIBERS: Self = Self(0x10);
    pub(super) const NO_SUBSCRIPTION: Self = Self(0x11);
    pub(super) const MALFORMED: Self = Self(0x81);
    pub(super) const PROTOCOL: Self = Self(0x82);
    pub(super) const VERSION: Self = Self(0x84);
    pub(super) const CLIENT_ID: Self = Self(0x85);
    pub(super) const PASSWORD: Self = Self(0x86);
    pub(super) const NOT_ALLOWED: Self = Self(0x87);
    pub(super) const BUSY: Self = Self(0x89);
    pub(super) const STOPPING: Self = Self(0x8b);
    pub(super) const AUTH_METHOD: Self = Self(0x8c);
    pub(super) const SILENT: Self = Self(0x8d);
    pub(super) const TAKEN_OVER: Self = Self(0x8e);
    pub(super) const FILTER: Self = Self(0x8f);
    pub(super) const TOPIC: Self = Self(0x90);
    pub(super) const UNKNOWN_ID: Self = Self(0x92);
    pub(super) const TOO_MANY: Self = Self(0x93);
    pub(super) const ALIAS: Self = Self(0x94);
    pub(super) const TOO_LARGE: Self = Self(0x95);
    pub(super) const QUOTA: Self = Self(0x97);

    /// Returns the answer to a greeting that MQTT 3.1.1 has for it; `None` where it has none.
    ///
    /// Source: MQTT 3.1.1, section 3.2.2.3.
    fn old(self) -> Option<u8> {
        match self {
            Self::SUCCESS => Some(0),
            Self::VERSION => Some(1),
            Self::CLIENT_ID => Some(2),
            Self::BUSY | Self::STOPPING | Self::QUOTA => Some(3),
            Self::PASSWORD => Some(4),
            Self::NOT_ALLOWED => Some(5),
            _ => None,
        }
    }
}

fn is_new(version: Version) -> bool {
    version == Version::V5
}
