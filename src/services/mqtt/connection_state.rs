//! State of the connection to a broker.

/// State of the connection to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// No connection is needed yet: there is no subscription and no message.
    Idle,
    /// The connection is being opened.
    Connecting,
    /// The broker has accepted the connection.
    Connected,
    /// The connection failed for this reason; it is retried.
    Disconnected(String),
    /// The client has shut down.
    Closed,
}

impl ConnectionState {
    /// Returns whether the connection has failed or is shut down, so that the outbox does not drain soon.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self, Self::Disconnected(_) | Self::Closed)
    }
}
