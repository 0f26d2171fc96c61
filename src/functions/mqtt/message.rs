//! Received messages as scripts see them.

use crate::functions::context::Context;
use crate::services::mqtt::Message;
use crate::value::{Map, map_of};

/// Returns a message with the same fields as for a handler of `mqtt_subscribe`.
pub(super) fn message_fields(message: &Message, context: &Context) -> Map {
    map_of([
        ("topic".into(), message.topic.as_str().into()),
        ("payload".into(), String::from_utf8_lossy(&message.payload).into_owned().into()),
        ("bytes".into(), message.payload.to_vec().into()),
        ("qos".into(), i64::from(message.qos).into()),
        ("retain".into(), message.retain.into()),
        ("dup".into(), message.dup.into()),
        ("broker".into(), message.broker.as_str().into()),
        ("properties".into(), message.properties.clone().into()),
        ("time".into(), message.received.to_zoned(context.services.clock.zone()).into()),
    ])
}

/// Returns ` at BROKER` for the run history, if a script named a broker.
pub(super) fn broker_suffix(broker: Option<&str>) -> String {
    broker.map(|broker| format!(" at {broker}")).unwrap_or_default()
}
