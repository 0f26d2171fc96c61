//! Received messages as scripts see them.

use crate::event::ReceivedMessage;
use crate::functions::context::Context;
use crate::functions::events::{ReadFields, message_map};

/// Returns a message with the same fields as for a handler of `mqtt_subscribe`, but `params`.
pub(super) fn message_fields(message: &ReceivedMessage, qos: u8, context: &Context) -> rhai::Map {
    message_map(message, qos, &context.services.clock.zone(), &ReadFields::All)
}

/// Returns ` at BROKER` for the run history, if a script named a broker.
pub(super) fn broker_suffix(broker: Option<&str>) -> String {
    broker.map(|broker| format!(" at {broker}")).unwrap_or_default()
}
