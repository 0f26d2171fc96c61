//! Messages from and to a broker.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use ahash::RandomState;
use bytes::Bytes;

use crate::event::ReceivedMessage;
use crate::services::mqtt::ack_token::AckToken;

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

/// A message from a broker, as one subscriber gets it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message, shared by all its subscribers.
    pub data: Arc<ReceivedMessage>,
    /// QoS of the delivery: at most that of the subscription.
    pub qos: u8,
    /// Acknowledges the message once every subscriber has acknowledged or dropped its token; `None` at QoS 0.
    pub ack: Option<Arc<AckToken>>,
}

impl Deref for Message {
    type Target = ReceivedMessage;

    fn deref(&self) -> &ReceivedMessage {
        &self.data
    }
}

/// Returns a hash that distinguishes messages with the same packet identifier.
pub(super) fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one((topic, payload))
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
