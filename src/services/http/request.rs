//! A request, with its limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::services::http::cookies::Cookies;
use crate::services::http::retry::Retry;

/// A request, with its limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where to; credentials in it are used unless there are others.
    pub url: Url,
    /// Names and values, in order; repeats are sent.
    pub headers: Vec<(String, String)>,
    /// What is sent, if anything.
    pub body: Option<Body>,
    /// Who asks; not told to another host after a redirect.
    pub credentials: Option<Credentials>,
    /// Cookies that were set before, for all that this request leads to.
    pub cookies: Cookies,
    /// Where cookies that are set now are kept, beyond this request.
    pub kept: Option<Cookies>,
    /// How long what may take.
    pub times: Times,
    /// How many redirects are followed; `None`: a redirect is an answer like any other.
    pub redirects: Option<usize>,
    /// When it is sent again.
    pub retry: Retry,
    /// How servers are reached.
    pub way: ConnectOptions,
    /// Where the body of the answer goes.
    pub sink: Sink,
    /// The largest body of an answer in memory, in bytes, after decompression.
    pub max_body: u64,
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes, and what they are, unless a header says so.
    Bytes(Bytes, Option<&'static str>),
    /// A form with files.
    Multipart(Arc<Vec<Part>>),
}

/// One field of a form with files.
#[derive(Debug, Clone)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// What the file is called, if it is one.
    pub file_name: Option<String>,
    /// What it holds, such as `image/png`.
    pub content_type: Option<String>,
    /// Further headers of this field.
    pub headers: Vec<(String, String)>,
    /// What it holds.
    pub content: Content,
}

/// What a field of a form holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// What is in a file when the request is sent; never in memory as a whole.
    File(PathBuf),
}

/// Who asks, as the server is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic(String, String),
    /// A user and a password that never go over the wire.
    Digest(String, String),
    /// A token.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Finding and reaching the server.
    pub connect: Duration,
    /// Waiting for the next bytes; `None`: as long as there is time at all.
    pub read: Option<Duration>,
    /// Everything together, redirects and repeats too.
    pub total: Duration,
}

/// How servers are reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// Through whom.
    pub proxy: Proxy,
    /// Whom to trust.
    pub verify: Verify,
    /// Our own certificate and its key, as PEM.
    pub identity: Option<Bytes>,
    /// Whether bodies are decompressed, and servers asked to compress them.
    pub decompress: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { proxy: Proxy::Environment, verify: Verify::System, identity: None, decompress: true }
    }
}

/// Through whom servers are reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// Whom the environment names, but nobody on the way to this machine itself.
    Environment,
    /// Nobody.
    Direct,
    /// One for `http:` and one for `https:`.
    Through {
        /// For `http:`.
        http: Option<Url>,
        /// For `https:`.
        https: Option<Url>,
    },
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// The authorities that the system trusts.
    System,
    /// Only these authorities, as PEM.
    Authorities(Bytes),
    /// Anyone.
    Anyone,
}

/// Where the body of an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Into memory, whole.
    Memory,
    /// Into a file, unless the status says that something is wrong.
    File {
        /// The file: it is as it was until all is there.
        path: PathBuf,
        /// How large it may be, in bytes.
        limit: u64,
    },
    /// To the asker, bit by bit.
    Stream {
        /// Whether [`Times::total`] is the limit of the body, too, and not only until it begins.
        is_timed: bool,
    },
}
