//! The will of a connection.

use std::time::Duration;

use super::text::{mqtt_text, one_topic};
use crate::config::section::Section;
use crate::config::value_type;

/// The will: a message that the broker publishes when the connection is lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Will {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
    /// The QoS: 0, 1 or 2.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
    /// The will delay interval (MQTT 5).
    pub delay: Duration,
    /// The content type (MQTT 5).
    pub content_type: Option<String>,
    /// The response topic (MQTT 5).
    pub response_topic: Option<String>,
    /// The correlation data (MQTT 5).
    pub correlation_data: Option<String>,
    /// The message expiry interval (MQTT 5).
    pub message_expiry: Option<Duration>,
    /// The user properties (MQTT 5).
    pub user_properties: Vec<(String, String)>,
}

/// Reads the section; `None`: there is no will.
pub(super) fn read(section: &mut Section<'_>) -> Option<Will> {
    let topic = section.optional("topic", "The topic of the will.", &mqtt_text().and_then(one_topic));
    let will = Will {
        topic: String::new(),
        payload: section.optional("payload", "The payload. Default: empty.", &value_type::text()).unwrap_or_default(),
        qos: section.value("qos", "0", "The QoS: 0, 1 or 2.", &value_type::integer(0..=2)) as u8,
        retain: section.value("retain", "false", "Whether the broker retains the message.", &value_type::boolean()),
        delay: section.value(
            "delay",
            "0s",
            "The will delay interval: how long the broker waits for a reconnect before it publishes the will (MQTT 5).",
            &value_type::duration(Duration::ZERO, Duration::from_secs(u32::MAX as u64)),
        ),
        content_type: section.optional(
            "content_type",
            "The content type of the payload, such as text/plain (MQTT 5).",
            &mqtt_text(),
        ),
        response_topic: section.optional(
            "response_topic",
            "The response topic (MQTT 5).",
            &mqtt_text().and_then(one_topic),
        ),
        correlation_data: section.optional("correlation_data", "The correlation data (MQTT 5).", &mqtt_text()),
        message_expiry: section.optional(
            "message_expiry",
            "The message expiry interval (MQTT 5).",
            &value_type::duration(Duration::from_secs(1), Duration::from_secs(u32::MAX as u64)),
        ),
        user_properties: user_properties(section),
    };
    if topic.is_none() {
        for name in WITH_TOPIC {
            section.reject(name, "a will needs a topic: add `topic`");
        }
    }
    topic.map(|topic| Will { topic, ..will })
}

/// Keys of a will that need a topic.
const WITH_TOPIC: &[&str] = &[
    "payload",
    "qos",
    "retain",
    "delay",
    "content_type",
    "response_topic",
    "correlation_data",
    "message_expiry",
    "user_properties",
];

fn user_properties(section: &mut Section<'_>) -> Vec<(String, String)> {
    let description = "The user properties, as names and texts (MQTT 5).";
    let pairs = section.map("user_properties", description, &value_type::text());
    pairs.into_iter().map(|(entry, text)| (entry.key.clone(), text)).collect()
}
