//! Errors of HTTP requests.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use url::Url;

use crate::config::Denied;
use crate::services::http::response::HttpResponse;
use crate::services::http::response::without_credentials;
use crate::units::{show_duration, show_size};

/// Why a request has no complete response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL is invalid.
    #[error("{0}")]
    InvalidUrl(String),
    /// A header cannot be sent.
    #[error("the header {0:?} cannot be sent: its name or value has characters that are not allowed in headers")]
    InvalidHeader(String),
    /// A certificate, a key or a proxy address cannot be used.
    #[error("{0}")]
    InvalidOption(String),
    /// The script has no permission for the host.
    #[error("{0}")]
    Denied(Denied),
    /// The total timeout has passed.
    #[error("no complete response within {}", show_duration(*.0))]
    Timeout(Duration),
    /// The connect timeout has passed.
    #[error("no connection within {}", show_duration(*.0))]
    ConnectTimeout(Duration),
    /// The read timeout has passed.
    #[error("no data received for {}", show_duration(*.0))]
    ReadTimeout(Duration),
    /// No connection could be established; nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// The connection was lost.
    #[error("{0}")]
    ConnectionLost(String),
    /// TLS failed.
    #[error("{0}")]
    Tls(String),
    /// The proxy refused the connection or cannot be reached.
    #[error("{0}")]
    Proxy(String),
    /// The redirect limit was exceeded.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// The body is larger than allowed.
    #[error("the response body is larger than {}", show_size(*.0))]
    BodyTooLarge(u64),
    /// The body is incomplete or does not match its headers.
    #[error("the response body cannot be read: {0}")]
    Decode(String),
    /// A file that is sent or written cannot be read or written.
    #[error("{0}")]
    File(String),
}

/// An error with the part of the response that is available.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error.
    pub error: Error,
    /// The URL after redirects, without credentials.
    pub url: Url,
    /// The headers of a response whose body could not be read, or the last of too many redirects.
    pub response: Option<Box<HttpResponse>>,
}

impl Failure {
    pub(super) fn new(error: Error, url: &Url, response: Option<HttpResponse>) -> Box<Self> {
        Box::new(Self { error, url: without_credentials(url), response: response.map(Box::new) })
    }
}

impl Error {
    /// Returns the `err.kind` of scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUrl(_) => "invalid_url",
            Self::InvalidHeader(_) | Self::InvalidOption(_) => "invalid_argument",
            Self::Denied(_) => "denied",
            Self::Timeout(_) => "timeout",
            Self::ConnectTimeout(_) => "timeout.connect",
            Self::ReadTimeout(_) => "timeout.read",
            Self::Connect(_) | Self::ConnectionLost(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Proxy(_) => "proxy",
            Self::TooManyRedirects(_) => "too_many_redirects",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::Decode(_) => "decode",
            Self::File(_) => "io",
        }
    }

    /// Returns an error with its chain of causes, since the outermost message alone hides the cause.
    pub(super) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let more = next.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = next.source();
        }
        text
    }

    /// Converts an error of sending.
    pub(super) fn from_sending(error: &reqwest::Error, connect_timeout: Duration, is_proxied: bool) -> Self {
        if error.is_timeout() && error.is_connect() {
            return Self::ConnectTimeout(connect_timeout);
        }
        // The URL is part of every message already, and may contain secrets.
        let text = error.source().map_or_else(|| error.to_string(), Self::chain);
        let text = text.strip_prefix("client error (Connect): ").map(str::to_owned).unwrap_or(text);
        match tls(error) {
            Some(rustls::Error::InvalidMessage(_)) => {
                return Self::Tls(format!("the server does not use TLS: did you mean http://? ({text})"));
            }
            Some(rustls::Error::InvalidCertificate(_)) => {
                return Self::Tls(format!("{text}: for a private certificate authority, write `verify: \"ca.pem\"`"));
            }
            Some(_) => return Self::Tls(text),
            None => {}
        }
        match error.is_connect() {
            _ if error.is_builder() => Self::InvalidUrl(text),
            true if is_proxied => Self::Proxy(format!("connecting through the proxy failed: {text}")),
            true => Self::Connect(text),
            false => Self::ConnectionLost(text),
        }
    }

    /// Converts an error of reading the body.
    pub(super) fn from_body(error: &reqwest::Error) -> Self {
        Self::Decode(error.source().map_or_else(|| error.to_string(), Self::chain))
    }
}

/// Returns the TLS error in the chain of causes, also inside I/O errors, whose `source` skips it.
fn tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let own = error.downcast_ref::<rustls::Error>();
    own.or_else(|| held.and_then(|held| tls(held))).or_else(|| error.source().and_then(tls))
}
