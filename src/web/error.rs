//! Errors of the web server.

use std::io;
use std::net::SocketAddr;

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program uses the port.
    #[error("{0} is in use by another program: set `web.listen` in rhaid.yaml to another port")]
    InUse(SocketAddr),
    /// The address is not available.
    #[error("cannot listen on {address} ({why}): set `web.listen` in rhaid.yaml to an address of this machine")]
    Unavailable {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        why: io::Error,
    },
    /// The threads of the server cannot be started.
    #[error("cannot start the threads of the web server: {0}")]
    Threads(io::Error),
}
