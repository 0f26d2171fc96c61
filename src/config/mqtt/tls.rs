//! TLS of a connection to a broker.

use std::path::{Path, PathBuf};

use crate::config::section::Section;
use crate::config::value_type::{self, ValueType};

/// TLS options of an external broker. The files are PEM; their paths are absolute if the configuration folder is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The trusted certificate authorities; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate.
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate.
    pub key: Option<PathBuf>,
    /// The offered protocols (ALPN).
    pub alpn: Vec<String>,
    /// Whether certificate verification is disabled.
    pub insecure: bool,
}

/// Reads the section; relative paths start at the folder.
pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> Tls {
    let mut file = |name, description| {
        section.optional(name, description, &value_type::non_empty_text()).map(|file| folder.join(file))
    };
    let tls = Tls {
        ca: file(
            "ca",
            "A PEM file with the trusted certificate authorities, relative to this file. Default: those of the system.",
        ),
        certificate: file("certificate", "A PEM file with the client certificate, relative to this file."),
        key: file("key", "A PEM file with the private key of the client certificate, relative to this file."),
        alpn: section
            .list("alpn", "The protocols offered in the TLS handshake (ALPN), such as mqtt.", &alpn())
            .unwrap_or_default(),
        insecure: section.value(
            "insecure",
            "false",
            "Whether to skip certificate verification; for tests only.",
            &value_type::boolean(),
        ),
    };
    if section.is_written("certificate") != section.is_written("key") {
        section.reject("certificate", "add `key`");
        section.reject("key", "add `certificate`");
    }
    tls
}

/// Source: RFC 7301, section 3.1: a protocol's name has from 1 to 255 bytes.
fn alpn() -> ValueType<String> {
    value_type::non_empty_text()
        .and_then(|text| if text.len() > 255 { Err("write at most 255 bytes".into()) } else { Ok(text) })
}
