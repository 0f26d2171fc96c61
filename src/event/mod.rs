//! Events: payload, time and delivery.

mod delivery;
mod id;
mod message;
mod payload;
mod request;

use std::borrow::Cow;

use jiff::Timestamp;

pub use self::delivery::{Ack, Delivery, Scheduled, SenderAck, Settlement, TimerKey};
pub use self::id::Id;
pub use self::message::{MessagePayload, ReceivedMessage};
pub use self::payload::Payload;
pub use self::request::{ReceivedRequest, RequestPayload};
use crate::value::Value;

/// Event that wakes a handler.
#[derive(Debug, Clone)]
pub struct Event {
    /// Identifier.
    pub id: Id,
    /// Time at which it happened.
    pub at: Timestamp,
    /// Short description; `None` for messages and requests, which describe themselves.
    summary: Option<String>,
    /// Fields of the handler's argument.
    pub payload: Payload,
    /// Schedule, hops and expected acknowledgement.
    pub delivery: Delivery,
}

impl Event {
    /// Creates an event that expects no acknowledgement. `summary` is a short description for lists, such as `cron 0 7 * * *`.
    pub fn new(at: Timestamp, summary: impl Into<String>, payload: impl Into<Payload>) -> Self {
        let (summary, payload) = (Some(summary.into()), payload.into());
        Self { id: Id::new(at), at, summary, payload, delivery: Delivery::default() }
    }

    /// Creates the event of a message.
    pub fn of_message(payload: MessagePayload, ack: Option<Ack>) -> Self {
        let at = payload.message.received;
        let payload = Payload::Message(payload.into());
        Self { id: Id::new(at), at, summary: None, payload, delivery: Delivery { ack, ..Delivery::default() } }
    }

    /// Creates the event of a request that was received at `at`.
    pub fn of_request(request: ReceivedRequest, at: Timestamp) -> Self {
        let payload = Payload::Request(RequestPayload::new(request).into());
        Self { id: Id::new(at), at, summary: None, payload, delivery: Delivery::default() }
    }

    /// Returns the event with an acknowledgement that its source expects.
    #[must_use]
    pub fn with_ack(mut self, ack: Option<Ack>) -> Self {
        self.delivery.ack = ack;
        self
    }

    /// Returns a short description for lists, such as `mqtt_subscribe door/front` or `cron 0 7 * * *`.
    pub fn summary(&self) -> Cow<'_, str> {
        match (&self.summary, &self.payload) {
            (Some(summary), _) => summary.into(),
            (None, Payload::Message(payload)) => format!("mqtt_subscribe {}", payload.message.topic).into(),
            (None, Payload::Request(payload)) => {
                let ReceivedRequest { method, path, .. } = &payload.request;
                format!("webhook {method} {path}").into()
            }
            (None, Payload::Fields(_)) => "".into(),
        }
    }

    /// Returns the short description, unless it is that of a message or request.
    pub fn given_summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Changes the short description.
    pub fn set_summary(&mut self, summary: impl Into<String>) {
        self.summary = Some(summary.into());
    }

    /// Returns the payload field at a dotted path such as `params.id`.
    pub fn fact(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('.');
        let mut found = self.payload.get(steps.next()?)?;
        for step in steps {
            let Value::Map(map) = found else { return None };
            found = map.get(step)?;
        }
        Some(found)
    }
}
