//! Messages, and their deliveries to sessions.

use std::sync::Arc;

use bytes::Bytes;

/// Milliseconds since 1970, by a clock that is never set back while the process runs.
pub(super) type UnixMillis = u64;

/// A client identifier; shared, since it is stored in many places.
pub(super) type ClientId = Arc<str>;

/// A message, stored once for all recipients.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Encoded properties that are forwarded to subscribers unchanged.
    pub(super) forward: Bytes,
    /// When it expires.
    pub(super) expires: Option<UnixMillis>,
}

impl Message {
    /// Returns whether the message expiry interval has passed.
    pub(super) fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns the approximate memory use, in bytes.
    pub(super) fn size(&self) -> usize {
        100 + self.topic.len() + self.payload.len() + self.forward.len()
    }
}

/// A message for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Increases by one per delivery; deliveries of a client are sent in this order.
    pub(super) seq: u64,
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// The identifiers of the matching subscriptions.
    pub(super) subscription_ids: Vec<u32>,
}
