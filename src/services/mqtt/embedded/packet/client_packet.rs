//! Packets from a client.

use super::connect::Connect;
use super::options::SubscribeOptions;
use super::publish::Publish;

/// A packet from a client.
#[derive(Debug)]
pub(in crate::services::mqtt::embedded) enum Packet {
    Connect(Box<Connect>),
    Publish(Publish),
    PubAck(u16),
    /// Packet identifier, and whether the reason code is a failure.
    PubRec(u16, bool),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        /// Subscription identifier for messages that match these filters.
        subscription_id: Option<u32>,
        filters: Vec<(String, SubscribeOptions)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    PingReq,
    Disconnect {
        /// Whether the will is published (reason code 0x04).
        with_will: bool,
        /// A new session expiry interval, in seconds.
        expiry: Option<u32>,
    },
}
