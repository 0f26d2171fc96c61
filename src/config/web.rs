//! `web:`: the web server.

use std::net::SocketAddr;

use super::section::Section;
use super::value_type;

/// The web server: webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// The address to listen on.
    pub listen: SocketAddr,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_>) -> Web {
    Web {
        listen: section.value(
            "listen",
            "127.0.0.1:7373",
            "The address on which the web server listens.",
            &value_type::socket_address(),
        ),
    }
}
