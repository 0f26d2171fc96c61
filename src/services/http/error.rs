//! Why there is no answer.

use std::error::Error as _;
use std::time::Duration;

use crate::config::Denied;
use crate::units::{show_duration, show_size};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL is none.
    #[error("{0}")]
    InvalidUrl(String),
    /// A header can not be sent.
    #[error("the header {0:?} can not be sent: its name or value has characters that headers must not have")]
    InvalidHeader(String),
    /// The script may not go there.
    #[error("{0}")]
    Denied(Denied),
    /// Everything together took too long.
    #[error("no complete answer within {}", show_duration(*.0))]
    Timeout(Duration),
    /// Connecting took too long.
    #[error("no connection within {}", show_duration(*.0))]
    ConnectTimeout(Duration),
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connect(String),
    /// The two sides do not trust or understand each other.
    #[error("{0}")]
    Tls(String),
    /// The servers send us round and round.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// The body is larger than allowed.
    #[error("the body of the answer is larger than {}", show_size(*.0))]
    BodyTooLarge(u64),
    /// The body is not what its headers say.
    #[error("the body of the answer can not be read: {0}")]
    Decode(String),
}

impl Error {
    /// Returns the word that scripts see as `err.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUrl(_) => "invalid_url",
            Self::InvalidHeader(_) => "invalid_argument",
            Self::Denied(_) => "denied",
            Self::Timeout(_) => "timeout",
            Self::ConnectTimeout(_) => "timeout.connect",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::TooManyRedirects(_) => "too_many_redirects",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::Decode(_) => "decode",
        }
    }

    /// Returns an error with all that led to it, since the first words alone hide the cause.
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

    pub(super) fn from_reqwest(error: &reqwest::Error, connect_timeout: Duration) -> Self {
        if error.is_timeout() && error.is_connect() {
            return Self::ConnectTimeout(connect_timeout);
        }
        // The address is told with every error already, and may hold secrets.
        let text = error.source().map_or_else(|| error.to_string(), Self::chain);
        if is_tls(error) {
            return Self::Tls(text);
        }
        if error.is_builder() {
            return Self::InvalidUrl(text);
        }
        Self::Connect(text)
    }

    pub(super) fn from_body(error: &reqwest::Error) -> Self {
        let text = error.source().map_or_else(|| error.to_string(), Self::chain);
        if error.is_decode() { Self::Decode(text) } else { Self::Connect(text) }
    }
}

/// Returns whether TLS is in the chain of causes, also inside I/O errors, which hide what they hold.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || held.is_some_and(|held| is_tls(held)) || error.source().is_some_and(is_tls)
}
