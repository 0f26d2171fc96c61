//! Why there is no answer.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use url::Url;

use crate::config::Denied;
use crate::services::http::Answer;
use crate::services::http::answer::without_credentials;
use crate::units::{show_duration, show_size};

/// Why there is no answer, or no whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL is none.
    #[error("{0}")]
    InvalidUrl(String),
    /// A header can not be sent.
    #[error("the header {0:?} can not be sent: its name or value has characters that headers must not have")]
    InvalidHeader(String),
    /// A certificate, a key or the address of a proxy can not be used.
    #[error("{0}")]
    InvalidOption(String),
    /// The script may not go there.
    #[error("{0}")]
    Denied(Denied),
    /// Everything together took too long.
    #[error("no complete answer within {}", show_duration(*.0))]
    Timeout(Duration),
    /// Connecting took too long.
    #[error("no connection within {}", show_duration(*.0))]
    ConnectTimeout(Duration),
    /// The server said nothing for too long.
    #[error("nothing more came for {}", show_duration(*.0))]
    ReadTimeout(Duration),
    /// There is no connection: nothing has been sent.
    #[error("{0}")]
    Connect(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The two sides do not trust or understand each other.
    #[error("{0}")]
    Tls(String),
    /// The proxy does not let us through.
    #[error("{0}")]
    Proxy(String),
    /// The servers send us round and round.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// The body is larger than allowed.
    #[error("the body of the answer is larger than {}", show_size(*.0))]
    BodyTooLarge(u64),
    /// The body broke off, or is not what its headers say.
    #[error("the body of the answer can not be read: {0}")]
    Decode(String),
    /// A file that is sent or written can not be.
    #[error("{0}")]
    File(String),
}

/// An error, with what is known of the answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// Where, after redirects, without credentials.
    pub url: Url,
    /// The answer as far as it came: the headers of one whose body could not be had, or the last of too many redirects.
    pub answer: Option<Box<Answer>>,
}

impl Failure {
    pub(super) fn new(error: Error, url: &Url, answer: Option<Answer>) -> Box<Self> {
        Box::new(Self { error, url: without_credentials(url), answer: answer.map(Box::new) })
    }
}

impl Error {
    /// Returns the word that scripts see as `err.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUrl(_) => "invalid_url",
            Self::InvalidHeader(_) | Self::InvalidOption(_) => "invalid_argument",
            Self::Denied(_) => "denied",
            Self::Timeout(_) => "timeout",
            Self::ConnectTimeout(_) => "timeout.connect",
            Self::ReadTimeout(_) => "timeout.read",
            Self::Connect(_) | Self::Broken(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Proxy(_) => "proxy",
            Self::TooManyRedirects(_) => "too_many_redirects",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::Decode(_) => "decode",
            Self::File(_) => "io",
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

    /// Returns why a request found no answer.
    pub(super) fn from_sending(error: &reqwest::Error, connect_timeout: Duration, is_proxied: bool) -> Self {
        if error.is_timeout() && error.is_connect() {
            return Self::ConnectTimeout(connect_timeout);
        }
        // The address is told with every error already, and may hold secrets.
        let text = error.source().map_or_else(|| error.to_string(), Self::chain);
        let text = text.strip_prefix("client error (Connect): ").map(str::to_owned).unwrap_or(text);
        match tls(error) {
            Some(rustls::Error::InvalidMessage(_)) => {
                return Self::Tls(format!("the server does not speak TLS: did you mean http://? ({text})"));
            }
            Some(rustls::Error::InvalidCertificate(_)) => {
                return Self::Tls(format!(
                    "{text}: for a certificate of your own, write its authority as `verify: \"ca.pem\"`"
                ));
            }
            Some(_) => return Self::Tls(text),
            None => {}
        }
        match error.is_connect() {
            _ if error.is_builder() => Self::InvalidUrl(text),
            true if is_proxied => Self::Proxy(format!("the way through the proxy failed: {text}")),
            true => Self::Connect(text),
            false => Self::Broken(text),
        }
    }

    /// Returns why a body could not be had: the connection broke, or it is not what its headers say.
    pub(super) fn from_body(error: &reqwest::Error) -> Self {
        Self::Decode(error.source().map_or_else(|| error.to_string(), Self::chain))
    }
}

/// Returns what TLS has to say in the chain of causes, also inside I/O errors, which hide what they hold.
fn tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let own = error.downcast_ref::<rustls::Error>();
    own.or_else(|| held.and_then(|held| tls(held))).or_else(|| error.source().and_then(tls))
}
