//! Messages as records of the store, and back.

use std::sync::Arc;

use jiff::Timestamp;

use crate::event::ReceivedMessage;
use crate::services::mqtt::message::{Properties, Publish};
use crate::services::store::OutboxRecord;
use crate::value::{Map, Value};

/// Content type, response topic, correlation data, expiry in seconds, user properties.
type StoredProperties = (Option<String>, Option<String>, Option<Vec<u8>>, Option<u32>, Vec<(String, String)>);

/// Returns the record of an outgoing message.
pub(super) fn outgoing_record(number: u64, publish: &Publish) -> OutboxRecord {
    OutboxRecord {
        number,
        topic: publish.topic.clone(),
        payload: publish.payload.to_vec(),
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties.as_deref().map(write_properties).unwrap_or_default(),
        packet: None,
        received: false,
    }
}

/// Returns the outgoing message of a record.
pub(super) fn outgoing_message(record: OutboxRecord) -> Publish {
    Publish {
        topic: record.topic,
        payload: record.payload.into(),
        qos: record.qos,
        retain: record.retain,
        properties: read_properties(&record.properties),
        broker: None,
    }
}

fn write_properties(properties: &Properties) -> String {
    let Properties { content_type, response_topic, correlation_data, message_expiry, user } = properties;
    let data = correlation_data.as_deref();
    serde_json::to_string(&(content_type, response_topic, data, message_expiry, user)).unwrap_or_default()
}

fn read_properties(stored: &str) -> Option<Box<Properties>> {
    let (content_type, response_topic, data, message_expiry, user): StoredProperties =
        serde_json::from_str(stored).ok()?;
    let correlation_data = data.map(Into::into);
    Some(Box::new(Properties { content_type, response_topic, correlation_data, message_expiry, user }))
}

/// Returns the record of a received message.
pub(super) fn received_record(number: u64, message: &ReceivedMessage) -> OutboxRecord {
    let more = (message.received.as_microsecond(), Value::Map(message.properties.clone()).to_stored());
    OutboxRecord {
        number,
        topic: message.topic.clone(),
        payload: message.payload.to_vec(),
        qos: message.qos,
        retain: message.retain,
        properties: serde_json::to_string(&more).unwrap_or_default(),
        packet: None,
        received: true,
    }
}

/// Returns the received message of a record.
pub(super) fn received_message(record: OutboxRecord, broker: &Arc<str>) -> ReceivedMessage {
    let more: Option<(i64, serde_json::Value)> = serde_json::from_str(&record.properties).ok();
    let (received, properties) = more.unwrap_or_default();
    ReceivedMessage {
        topic: record.topic,
        payload: record.payload.into(),
        qos: record.qos,
        retain: record.retain,
        dup: true,
        broker: broker.clone(),
        properties: match Value::from_stored(properties) {
            Value::Map(properties) => properties,
            _ => Map::new(),
        },
        received: Timestamp::from_microsecond(received).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_5_properties_are_stored_too() {
        let properties = Properties {
            content_type: Some("text/plain".into()),
            correlation_data: Some(vec![0, 255].into()),
            message_expiry: Some(60),
            user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..Properties::default()
        };
        let publish = Publish { properties: Some(Box::new(properties.clone())), ..Publish::default() };
        assert_eq!(outgoing_message(outgoing_record(1, &publish)).properties.as_deref(), Some(&properties));
        assert_eq!(outgoing_message(outgoing_record(1, &Publish::default())).properties, None);
    }
}
