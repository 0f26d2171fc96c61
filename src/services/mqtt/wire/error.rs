//! Errors that end a connection.

/// An error that ends a connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::services::mqtt) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("protocol error: {0}")]
    Malformed(String),
    #[error("the broker closed the connection")]
    Closed,
    /// DISCONNECT from the broker, with its reason.
    #[error("the broker closed the connection: {0}")]
    ServerDisconnect(String),
    /// CONNACK that refuses the connection, with its reason.
    #[error("{0}")]
    Refused(String),
    #[error("no answer for {0}")]
    Timeout(String),
}
