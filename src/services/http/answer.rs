//! What a server answers.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use url::{Position, Url};

/// What a server answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// What the server calls the status, such as `OK`.
    pub reason: String,
    /// `HTTP/1.1`, `HTTP/2.0`, …
    pub version: String,
    /// Names in lower case and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed; empty if it goes elsewhere.
    pub body: Bytes,
    /// The file that holds the body.
    pub saved: Option<PathBuf>,
    /// Where it came from, after redirects, without credentials.
    pub url: Url,
    /// How long it took from sending to the end of the headers; of the last hop.
    pub elapsed: Duration,
    /// What was asked, of the last hop.
    pub asked: Asked,
    /// The answers that led here, oldest first: redirects, and refusals that asked for credentials.
    pub history: Vec<Answer>,
}

/// What a server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, `POST`, …
    pub method: String,
    /// Names in lower case and values; credentials are `***`.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// Returns what is shown of a request: with the host, which is written into it last.
    pub(super) fn of(method: &Method, url: &Url, headers: &HeaderMap) -> Self {
        let mut shown = masked(headers);
        if !headers.contains_key(HOST) {
            let host = &url[Position::BeforeHost..Position::AfterPort];
            shown.push((HOST.as_str().to_owned(), host.to_owned()));
        }
        Self { method: method.to_string(), headers: shown }
    }
}

impl Answer {
    /// Returns the values of a header in order; the name in any case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the beginning of an answer whose body has yet to come.
    pub(super) fn begun(response: &reqwest::Response, url: &Url, asked: &Asked, elapsed: Duration) -> Self {
        let status = response.status();
        let words = response.extensions().get::<hyper::ext::ReasonPhrase>();
        let words = words.map(|words| String::from_utf8_lossy(words.as_bytes()).into_owned());
        Self {
            status: status.as_u16(),
            reason: words.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned()),
            version: format!("{:?}", response.version()),
            headers: plain(response.headers()),
            body: Bytes::new(),
            saved: None,
            url: without_credentials(url),
            elapsed,
            asked: asked.clone(),
            history: Vec::new(),
        }
    }
}

/// Returns headers as text; what is no UTF-8 is read as ISO 8859-1.
pub(super) fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Returns headers as they may be shown.
fn masked(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |value: &HeaderValue| if value.is_sensitive() { "***".to_owned() } else { text(value) };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(value))).collect()
}

/// Returns a URL without user and password.
pub(super) fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Only URLs without a host can not be changed, and those are not sent.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
