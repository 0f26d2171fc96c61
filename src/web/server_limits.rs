//! Limits of the web server.

use std::time::Duration;

/// The largest request line and header fields together, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;

/// How long a shutdown waits for requests in progress.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest number of threads that serve connections.
pub(super) const MAX_THREADS: usize = 4;

/// How long the server waits after an error before it accepts connections again.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Limits for clients of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerLimits {
    /// Timeout for reading a request head, also on an idle connection.
    pub(super) head_timeout: Duration,
    /// Timeout for reading a request body.
    pub(super) body_timeout: Duration,
    /// The number of open connections; further ones wait to be accepted.
    pub(super) connections: usize,
    /// Memory for all requests that are being received, queued or processed, in bytes; further ones wait for it, for as long as `body_timeout`.
    pub(super) request_memory: u32,
}

/// The limits in production.
pub(super) const SERVER_LIMITS: ServerLimits = ServerLimits {
    head_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(30),
    connections: 1_024,
    request_memory: 256 << 20,
};
