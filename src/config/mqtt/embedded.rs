//! The embedded broker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::text::mqtt_text;
use crate::config::section::Section;
use crate::config::value_type::{self, MIB, count};
use crate::secrets::Secret;

/// The embedded broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedBroker {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Required of clients, if set.
    pub username: Option<String>,
    /// Required of clients, if set.
    pub password: Option<Secret>,
    /// TLS instead of plain TCP.
    pub tls: Option<Certificate>,
    /// The maximum number of connected clients.
    pub max_connections: usize,
    /// The maximum packet size in bytes; `None`: as for connections to brokers.
    pub max_packet: Option<u64>,
    /// The maximum number of queued messages per session.
    pub max_queued: usize,
    /// The maximum size of queued messages per session, in bytes.
    pub max_queued_bytes: u64,
    /// The longest keep-alive interval (server keep alive).
    pub max_keep_alive: Duration,
}

/// A server certificate. The files are PEM; their paths are absolute if the configuration folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// Reads the section; relative paths start at the folder.
pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> EmbeddedBroker {
    let embedded = EmbeddedBroker {
        listen: section.value("listen", "127.0.0.1:1883", "The address on which the embedded broker listens.", &value_type::socket_address()),
        username: section.optional("username", "The user name that clients must send.", &mqtt_text()),
        password: section.optional("password", "The password that clients must send.", &value_type::secret()),
        tls: section.section("tls", "TLS instead of plain TCP; both files are required.", |section| certificate(section, folder)),
        max_connections: section.value("max_connections", "1000", "The maximum number of connected clients.", &count(1..=100_000)),
        max_packet: section.optional(
            "max_packet",
            "The maximum packet size; clients that send a larger packet are disconnected. Default: `mqtt.max_packet`.",
            &value_type::size(1 << 10, 256 * MIB - 1),
        ),
        max_queued: section.value(
            "max_queued",
            "100000",
            "The maximum number of queued messages for an offline or slow client; further ones are dropped.",
            &count(1..=10_000_000),
        ),
        max_queued_bytes: section.value(
            "max_queued_bytes",
            "64MiB",
            "The maximum size of queued messages for an offline or slow client.",
            &value_type::size(1 << 10, 64 * 1024 * MIB),
        ),
        max_keep_alive: section.value(
            "max_keep_alive",
            "1h",
            "The longest keep-alive interval; MQTT 5 clients that request a longer one, or none, get this one (server keep alive).",
            &value_type::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
    };
    if section.is_written("username") != section.is_written("password") {
        section.reject("username", "add `mqtt.embedded.password`");
        section.reject("password", "add `mqtt.embedded.username`");
    }
    embedded
}

fn certificate(section: &mut Section<'_>, folder: &Path) -> Option<Certificate> {
    let cert = section.optional(
        "cert",
        "A PEM file with the broker's certificate, relative to this file.",
        &value_type::non_empty_text(),
    );
    let key = section.optional(
        "key",
        "A PEM file with the private key of the certificate, relative to this file.",
        &value_type::non_empty_text(),
    );
    if section.is_written("cert") != section.is_written("key") {
        section.reject("cert", "add `mqtt.embedded.tls.key`");
        section.reject("key", "add `mqtt.embedded.tls.cert`");
    }
    Some(Certificate { cert: folder.join(cert?), key: folder.join(key?) })
}
