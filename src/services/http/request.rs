//! Requests, with their limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::services::http::cookies::Cookies;
use crate::services::http::retry::RetryPolicy;

/// A request, with its limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The URL; its credentials are used unless `credentials` is set.
    pub url: Url,
    /// Header names and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<RequestBody>,
    /// Credentials; not sent to another host after a redirect.
    pub credentials: Option<Credentials>,
    /// Cookies of this request and its redirects.
    pub cookies: Cookies,
    /// The session's cookie jar, which also stores cookies that are set by responses.
    pub session_cookies: Option<Cookies>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Maximum number of redirects; `None`: redirects are not followed.
    pub redirects: Option<usize>,
    /// When the request is retried.
    pub retry: RetryPolicy,
    /// Proxy, TLS and compression.
    pub connect_options: ConnectOptions,
    /// Destination of the response body.
    pub sink: Sink,
    /// Maximum length of a response body in memory, in bytes, after decompression.
    pub max_body: u64,
}

/// A request body.
#[derive(Debug, Clone)]
pub enum RequestBody {
    /// Bytes and their content type, unless a header sets it.
    Bytes(Bytes, Option<&'static str>),
    /// A multipart form.
    Multipart(Arc<Vec<Part>>),
}

/// One part of a multipart form.
#[derive(Debug, Clone)]
pub struct Part {
    /// The field name.
    pub name: String,
    /// The file name, if the part is a file.
    pub file_name: Option<String>,
    /// The content type, such as `image/png`.
    pub content_type: Option<String>,
    /// Further headers of the part.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub content: Content,
}

/// The content of a part of a form.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes.
    Bytes(Bytes),
    /// A file, streamed when the request is sent.
    File(PathBuf),
}

/// Credentials of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User and password, sent in clear text (Basic).
    Basic(String, String),
    /// User and password that are never sent (Digest).
    Digest(String, String),
    /// A bearer token.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Timeouts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution and connecting.
    pub connect: Duration,
    /// Time between received bytes; `None`: limited by `total` only.
    pub read: Option<Duration>,
    /// The whole request, redirects and retries included.
    pub total: Duration,
}

/// How servers are reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// The proxy.
    pub proxy: Proxy,
    /// Verification of server certificates.
    pub verify: Verify,
    /// Client certificate and its key, as PEM.
    pub identity: Option<Bytes>,
    /// Whether `Accept-Encoding` is sent and bodies are decompressed.
    pub decompress: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { proxy: Proxy::Environment, verify: Verify::System, identity: None, decompress: true }
    }
}

/// The proxy of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// The proxy of the environment variables; never used for loopback hosts.
    Environment,
    /// No proxy.
    Direct,
    /// One proxy for `http:` and one for `https:`.
    Explicit {
        /// For `http:`.
        http: Option<Url>,
        /// For `https:`.
        https: Option<Url>,
    },
}

/// Trusted certificate authorities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// The authorities of the system.
    System,
    /// Only these authorities, as PEM.
    Authorities(Bytes),
    /// No verification: any certificate is accepted.
    AcceptAny,
}

/// Destination of a response body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Memory.
    Memory,
    /// A file, for responses with a 2xx status.
    File {
        /// The path; replaced when the body is complete.
        path: PathBuf,
        /// Maximum length, in bytes.
        limit: u64,
    },
    /// The caller, chunk by chunk.
    Stream {
        /// Whether [`Timeouts::total`] covers the body too, or only the time until its start.
        is_timed: bool,
    },
}
