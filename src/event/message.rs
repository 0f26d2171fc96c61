//! A received MQTT message, and the payload of an event that it causes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::topic::Filter;
use crate::value::{Map, Value, map_of};

/// A message from a broker, shared by everything that processes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedMessage {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// QoS of the PUBLISH packet: 0, 1 or 2.
    pub qos: u8,
    /// Whether it is a retained message sent because of the subscription.
    pub retain: bool,
    /// Whether the broker may have sent it before.
    pub dup: bool,
    /// The broker's name in the configuration.
    pub broker: Arc<str>,
    /// MQTT 5 properties; empty for 3.1.1.
    pub properties: Map,
    /// Time of arrival.
    pub received: Timestamp,
}

impl ReceivedMessage {
    /// Returns the fields that scripts see, without `params`; `qos` is that of the delivery.
    pub fn fields(&self, qos: u8, zone: &TimeZone) -> Map {
        map_of([
            ("topic".into(), self.topic.as_str().into()),
            ("payload".into(), String::from_utf8_lossy(&self.payload).into_owned().into()),
            ("bytes".into(), self.payload.to_vec().into()),
            ("qos".into(), i64::from(qos).into()),
            ("retain".into(), self.retain.into()),
            ("dup".into(), self.dup.into()),
            ("broker".into(), (*self.broker).into()),
            ("properties".into(), self.properties.clone().into()),
            ("time".into(), self.received.to_zoned(zone.clone()).into()),
        ])
    }
}

/// Payload of an event of `mqtt_subscribe`: the message, and what its trigger adds to it.
#[derive(Debug)]
pub struct MessagePayload {
    /// The message.
    pub message: Arc<ReceivedMessage>,
    /// QoS of the delivery: at most that of the subscription.
    pub qos: u8,
    /// Filters of the trigger, of which the first that matches names the levels in `params`.
    pub filters: Arc<[Filter]>,
    /// Time zone of the field `time`.
    pub zone: TimeZone,
    fields: OnceLock<Map>,
}

impl MessagePayload {
    /// Creates a payload whose fields are built on first use.
    pub fn new(message: Arc<ReceivedMessage>, qos: u8, filters: Arc<[Filter]>, zone: TimeZone) -> Self {
        Self { message, qos, filters, zone, fields: OnceLock::new() }
    }

    /// Returns the named levels of the topic and their values.
    pub fn params(&self) -> Vec<(&str, &str)> {
        let topic = self.message.topic.as_str();
        self.filters.iter().find_map(|filter| filter.named_levels(topic)).unwrap_or_default()
    }

    /// Returns all fields of the handler's argument.
    pub fn fields(&self) -> &Map {
        self.fields.get_or_init(|| {
            let mut fields = self.message.fields(self.qos, &self.zone);
            let params = self.params().into_iter().map(|(name, level)| (name.to_owned(), level.into()));
            fields.insert("params".into(), Value::Map(map_of(params)));
            fields
        })
    }
}
