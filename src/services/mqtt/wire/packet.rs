//! Packets, independent of the protocol version.

use bytes::Bytes;

use crate::services::mqtt::message::Publish;
use crate::value::Map;

/// A packet from a broker.
#[derive(Debug)]
pub(in crate::services::mqtt) enum Incoming {
    /// Acceptance of the connection, or the reason of the refusal.
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
    /// For each filter, the granted QoS or the reason of the refusal.
    SubAck {
        id: u16,
        granted: Vec<Result<u8, String>>,
    },
    UnsubAck(u16),
    PingResp,
    /// The broker closes the connection for this reason.
    Disconnect(String),
}

/// A CONNACK that accepts the connection; `None` for absent properties.
#[derive(Debug, Clone, Default)]
pub(in crate::services::mqtt) struct ConnAck {
    /// Whether the broker resumes the session.
    pub(in crate::services::mqtt) session_present: bool,
    /// Whether the broker sends subscription identifiers with messages.
    pub(in crate::services::mqtt) has_subscription_ids: bool,
    /// Number of messages of QoS 1 and 2 that may be in flight to the broker.
    pub(in crate::services::mqtt) receive_maximum: Option<u16>,
    /// Keep alive that the broker demands, in seconds.
    pub(in crate::services::mqtt) keep_alive: Option<u16>,
    /// The largest packet that the broker accepts, in bytes.
    pub(in crate::services::mqtt) max_packet: Option<u32>,
    /// Number of topic aliases that the broker accepts.
    pub(in crate::services::mqtt) topic_alias_maximum: u16,
}

/// A PUBLISH from a broker.
#[derive(Debug, Default)]
pub(in crate::services::mqtt) struct IncomingPublish {
    pub(in crate::services::mqtt) topic: String,
    pub(in crate::services::mqtt) payload: Bytes,
    pub(in crate::services::mqtt) qos: u8,
    pub(in crate::services::mqtt) retain: bool,
    pub(in crate::services::mqtt) dup: bool,
    /// Packet identifier; 0 for QoS 0.
    pub(in crate::services::mqtt) id: u16,
    /// Topic alias, in MQTT 5.
    pub(in crate::services::mqtt) alias: Option<u16>,
    /// Identifiers of the subscriptions that the message matches, in MQTT 5.
    pub(in crate::services::mqtt) subscription_ids: Vec<u32>,
    pub(in crate::services::mqtt) properties: Map,
}

/// A packet to a broker.
#[derive(Debug)]
pub(in crate::services::mqtt) enum Outgoing {
    /// The packet identifier is 0 for QoS 0.
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

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone)]
pub(in crate::services::mqtt) struct SubscribeFilter {
    pub(in crate::services::mqtt) filter: String,
    pub(in crate::services::mqtt) qos: u8,
    /// Whether messages of this client are left out; not available in MQTT 3.1.1.
    pub(in crate::services::mqtt) no_local: bool,
    /// Subscription identifier, in MQTT 5.
    pub(in crate::services::mqtt) subscription_id: Option<u32>,
    /// Whether the broker sends retained messages; in MQTT 3.1.1 it always does.
    pub(in crate::services::mqtt) send_retained: bool,
}
