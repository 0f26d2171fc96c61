//! HTTP responses, and the requests as they were sent.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use url::{Position, Url};

/// A response.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// The status code, such as 200.
    pub status: u16,
    /// The reason phrase, such as `OK`.
    pub reason: String,
    /// `HTTP/1.1`, `HTTP/2.0`, …
    pub version: String,
    /// Header names in lower case and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed; empty if it is streamed or saved.
    pub body: Bytes,
    /// The file that the body was saved to.
    pub saved: Option<PathBuf>,
    /// The URL after redirects, without credentials.
    pub url: Url,
    /// Time from sending the last request to the end of the headers.
    pub elapsed: Duration,
    /// The last request, as it was sent.
    pub request: SentRequest,
    /// Earlier responses, oldest first: redirects and 401 responses with a challenge.
    pub history: Vec<HttpResponse>,
}

/// A request as it was sent.
#[derive(Debug, Clone)]
pub struct SentRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Header names in lower case and values; credentials are `***`.
    pub headers: Vec<(String, String)>,
}

impl SentRequest {
    /// Returns the request with masked credentials and the `host` header, which the client adds last.
    pub(super) fn of(method: &Method, url: &Url, headers: &HeaderMap) -> Self {
        let mut shown = masked_header_pairs(headers);
        if !headers.contains_key(HOST) {
            let host = &url[Position::BeforeHost..Position::AfterPort];
            shown.push((HOST.as_str().to_owned(), host.to_owned()));
        }
        Self { method: method.to_string(), headers: shown }
    }
}

impl HttpResponse {
    /// Returns the values of a header in order; the name is case-insensitive.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns a response whose body is not read yet.
    pub(super) fn from_head(response: &reqwest::Response, url: &Url, request: &SentRequest, elapsed: Duration) -> Self {
        let status = response.status();
        let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
        let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        Self {
            status: status.as_u16(),
            reason: reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned()),
            version: format!("{:?}", response.version()),
            headers: header_pairs(response.headers()),
            body: Bytes::new(),
            saved: None,
            url: without_credentials(url),
            elapsed,
            request: request.clone(),
            history: Vec::new(),
        }
    }
}

/// Returns headers as text; values that are not UTF-8 are read as ISO 8859-1.
pub(super) fn header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Returns headers with sensitive values replaced by `***`.
fn masked_header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |value: &HeaderValue| if value.is_sensitive() { "***".to_owned() } else { text(value) };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(value))).collect()
}

/// Returns a URL without user and password.
pub(super) fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Fails only for URLs without a host, which are never sent.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
