//! Payload of an event: the fields of the handler's argument.

use std::ops::Deref;
use std::sync::Arc;

use crate::event::message::MessagePayload;
use crate::event::request::RequestPayload;
use crate::value::{Map, Value};

/// Fields of the handler's argument. Those of a message or request are built only if they are used.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The fields.
    Fields(Map),
    /// A message, from which the fields are built.
    Message(Arc<MessagePayload>),
    /// A webhook request, from which the fields are built.
    Request(Arc<RequestPayload>),
}

impl Payload {
    /// Sets a field.
    pub fn insert(&mut self, name: &str, value: Value) {
        let mut fields = std::mem::replace(self, Self::Fields(Map::new())).into_fields();
        fields.insert(name.to_owned(), value);
        *self = Self::Fields(fields);
    }

    /// Returns the fields.
    pub fn into_fields(self) -> Map {
        match self {
            Self::Fields(fields) => fields,
            Self::Message(message) => message.fields().clone(),
            Self::Request(request) => request.fields().clone(),
        }
    }
}

impl Deref for Payload {
    type Target = Map;

    fn deref(&self) -> &Map {
        match self {
            Self::Fields(fields) => fields,
            Self::Message(message) => message.fields(),
            Self::Request(request) => request.fields(),
        }
    }
}

impl From<Map> for Payload {
    fn from(fields: Map) -> Self {
        Self::Fields(fields)
    }
}
