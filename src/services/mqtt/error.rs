//! Errors of the MQTT client.

/// An error of the MQTT client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration has no broker of this name.
    #[error("there is no broker `{0}` in rhaid.yaml")]
    UnknownBroker(String),
    /// The broker is offline and the outbox is full.
    #[error("not connected to {broker}, and the outbox is full with {waiting} messages")]
    NotConnected {
        /// The broker's name.
        broker: String,
        /// Number of messages in the outbox.
        waiting: usize,
    },
    /// The packet is larger than `mqtt.max_packet`.
    #[error("the message has {size} bytes, {limit} is the limit (`mqtt.max_packet`)")]
    TooLarge {
        /// Size of the packet in bytes.
        size: u64,
        /// Largest size allowed, in bytes.
        limit: u64,
    },
    /// The topic is invalid.
    #[error("{0}")]
    InvalidTopic(String),
    /// The message was dropped from a full outbox.
    #[error("dropped: the outbox was full while the broker was offline (`outbox_full`)")]
    Dropped,
    /// The message could not be written to the store.
    #[error("the message could not be stored: {0}")]
    NotStored(String),
    /// The broker refused a message or a subscription.
    #[error("the broker refused: {0}")]
    Refused(String),
}
