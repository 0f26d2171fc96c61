//! Limits of the web server.

use std::time::Duration;

/// The largest request line and header fields together, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;

/// How long a shutdown waits for requests in progress.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits for clients of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerLimits {
    /// Timeout for reading a request head, also on an idle connection.
    pub(super) head_timeout: Duration,
    /// Timeout for reading a request body.
    pub(super) body_timeout: Duration,
    /// The number of open connections; further ones wait to be accepted.
    pub(super) connections: usize,
    /// The number of concurrent requests; further ones get a 503 response.
    pub(super) requests: usize,
}

/// The limits in production.
pub(super) const SERVER_LIMITS: ServerLimits = ServerLimits {
    head_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(30),
    connections: 1_024,
    requests: 256,
};
