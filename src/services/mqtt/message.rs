//! Messages from and to a broker.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::services::mqtt::ack_token::AckToken;
use crate::value::Map;

/// Retained messages that a subscription delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retained {
    /// None: only messages published after the subscription.
    #[default]
    Live,
    /// The retained message of each topic, once, when the subscription starts; then everything that is published.
    Initial,
    /// The retained message of each topic, once, and nothing else.
    Only,
}

/// Options of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// The highest QoS at which messages are delivered.
    pub qos: u8,
    /// The retained messages that are delivered.
    pub retained: Retained,
    /// Whether messages that rhaid publishes itself are left out; needs MQTT 5.
    pub no_local: bool,
    /// Whether retained messages are delivered even if [`Retained::Live`] excludes them, for recording.
    pub all_retained: bool,
}

/// A message from a broker.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether it is a retained message sent because of the subscription.
    pub retain: bool,
    /// Whether the broker may have sent it before.
    pub dup: bool,
    /// The broker's name in the config.
    pub broker: String,
    /// MQTT 5 properties; empty for 3.1.1.
    pub properties: Map,
    /// Time of arrival.
    pub received: Timestamp,
    /// Acknowledges the message (QoS 1 and 2) once every subscriber has dropped its share.
    pub ack: Arc<AckToken>,
}

impl Message {
    /// Returns a hash of topic and payload.
    pub(super) fn fingerprint(&self) -> u64 {
        fingerprint(&self.topic, &self.payload)
    }
}

/// Returns a hash that distinguishes messages with the same packet identifier.
pub(super) fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, payload).hash(&mut hasher);
    hasher.finish()
}

/// A message to a broker.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker retains it.
    pub retain: bool,
    /// The broker's name; `None`: the default one.
    pub broker: Option<String>,
    /// MQTT 5 properties; left out for a broker that supports only MQTT 3.1.1.
    pub properties: Option<Box<Properties>>,
}

/// Properties of a PUBLISH packet.
///
/// Source: MQTT 5.0, section 3.3.2.3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Media type of the payload, such as `text/plain`.
    pub content_type: Option<String>,
    /// Topic for the response.
    pub response_topic: Option<String>,
    /// Data that the response repeats.
    pub correlation_data: Option<Bytes>,
    /// Seconds for which the broker keeps the message for offline subscribers.
    pub message_expiry: Option<u32>,
    /// User properties: names and values; a name may occur several times.
    pub user: Vec<(String, String)>,
}

impl Properties {
    /// Returns an upper bound of their size in a packet, in bytes.
    fn size(&self) -> usize {
        let texts = [&self.content_type, &self.response_topic].into_iter().flatten().map(|text| text.len() + 3);
        let data = self.correlation_data.iter().map(|data| data.len() + 3);
        let user = self.user.iter().map(|(name, text)| name.len() + text.len() + 5);
        // Up to 4 bytes for the length of all properties, and 5 for the expiry.
        texts.chain(data).chain(user).sum::<usize>() + 9
    }
}

impl Publish {
    /// Returns an upper bound of the packet's size, in bytes.
    pub(super) fn size(&self) -> usize {
        // A fixed header of 5 bytes, the topic's length of 2, a packet identifier of 2, and empty properties.
        self.topic.len() + self.payload.len() + 10 + self.properties.as_deref().map_or(0, Properties::size)
    }
}
