//! Messages as the broker keeps them, and what a session still has to send.

use std::sync::Arc;

use bytes::Bytes;

/// Milliseconds since 1970, as told by a clock that is never set back while we run.
pub(super) type Moment = u64;

/// A client's name; shared, since it stands in many places.
pub(super) type ClientId = Arc<str>;

/// A message, kept once however many get it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// The properties that subscribers get as they are, in bytes.
    pub(super) forward: Bytes,
    /// When nobody wants it any more.
    pub(super) expires: Option<Moment>,
}

impl Message {
    /// Returns whether nobody wants it any more.
    pub(super) fn is_expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns about how much room it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        100 + self.topic.len() + self.payload.len() + self.forward.len()
    }
}

/// A message for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Counts up; what a client gets is in this order.
    pub(super) seq: u64,
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// The numbers of the subscriptions for which it comes.
    pub(super) numbers: Vec<u32>,
}
