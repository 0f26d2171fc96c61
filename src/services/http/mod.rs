//! HTTP out: pooled clients, redirects by our own loop, a limit on everything.

pub mod charset;
mod client;
mod error;
pub mod links;
mod redirect;
mod resolve;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::cookie::CookieStore as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use url::{Host, Url};

use self::client::Clients;
pub use self::error::Error;
use self::redirect::Hop;
use self::resolve::Resolver;
use crate::config::Denied;

/// What of the body of an answer that redirects is kept, in bytes.
const REDIRECT_BODY: u64 = 64 << 10;

/// Says where requests may go; asked for every hop, by name and by address.
pub trait Guard: Send + Sync {
    /// Checks a host as it is written in the URL.
    ///
    /// # Errors
    /// If requests may not go there.
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied>;

    /// Checks an address that a host stands for.
    ///
    /// # Errors
    /// If requests may not go there.
    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied>;
}

/// Who asks, as the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic(String, String),
    /// A token.
    Bearer(String),
}

/// What is sent.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// What they are, unless a header says so.
    pub content_type: Option<&'static str>,
}

/// A request, with its limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where to.
    pub url: Url,
    /// Names and values, in order; repeats are sent.
    pub headers: Vec<(String, String)>,
    /// What is sent, if anything.
    pub body: Option<Body>,
    /// Who asks; not told to another host after a redirect.
    pub credentials: Option<Credentials>,
    /// Cookies that were set before and take those that are set now.
    pub cookies: Cookies,
    /// How long everything may take.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How many redirects are followed; `None`: a redirect is an answer like any other.
    pub redirects: Option<usize>,
    /// The largest body of an answer, in bytes, after decompression.
    pub max_body: u64,
}

/// Cookies that outlive one request; cheap to clone.
#[derive(Clone, Default)]
pub struct Cookies(Arc<reqwest::cookie::Jar>);

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies")
    }
}

impl Cookies {
    /// Puts a cookie in as if the host of `url` had set it.
    pub fn put(&self, name: &str, value: &str, url: &Url) {
        self.0.add_cookie_str(&format!("{name}={value}; Path=/"), url);
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// What the status stands for, such as `OK`.
    pub reason: &'static str,
    /// Names in lower case and values, in order, with repeats.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Bytes,
    /// Where it came from, after redirects, without credentials.
    pub url: Url,
    /// How long it took from sending to the end of the headers; of the last hop.
    pub elapsed: Duration,
    /// The answers that redirected here, oldest first.
    pub history: Vec<Answer>,
}

impl Answer {
    /// Returns the values of a header in order; the name in any case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// HTTP out; cheap to clone.
#[derive(Clone)]
pub struct Http {
    clients: Arc<Clients>,
    resolver: Arc<Resolver>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Makes it ready; clients are made when they are first needed.
    pub fn new() -> Self {
        // Two TLS stacks may ask for the process's default; the first one to say so decides, and both can live with it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Resolver::default());
        Self { clients: Arc::new(Clients::new(resolver.clone())), resolver }
    }

    /// Sends a request and returns the answer, whole. Cancel-safe: dropped, it closes its connection.
    ///
    /// # Errors
    /// If there is no answer, or the guard forbids a hop. Any status is an answer.
    pub async fn send(&self, request: Request, guard: &dyn Guard) -> Result<Answer, Error> {
        let limit = request.timeout;
        tokio::time::timeout(limit, self.follow(request, guard)).await.unwrap_or(Err(Error::Timeout(limit)))
    }

    async fn follow(&self, request: Request, guard: &dyn Guard) -> Result<Answer, Error> {
        let mut hop = Hop::first(&request)?;
        let mut history = Vec::new();
        loop {
            let (mut answer, next) = self.hop(&hop, &request, guard).await?;
            let Some(next) = next else {
                answer.history = history;
                return Ok(answer);
            };
            if history.len() >= request.redirects.unwrap_or_default() {
                return Err(Error::TooManyRedirects(history.len()));
            }
            hop = hop.redirected(answer.status, next)?;
            history.push(answer);
        }
    }

    /// Makes one hop; returns the answer, and where it redirects if that is to be followed.
    async fn hop(&self, hop: &Hop, request: &Request, guard: &dyn Guard) -> Result<(Answer, Option<Url>), Error> {
        self.check(&hop.url, guard).await?;
        let client = self.clients.client(&hop.url, request.connect_timeout)?;
        let mut headers = hop.headers.clone();
        if let Some(cookies) = request.cookies.0.cookies(&hop.url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        let mut sending = client.request(hop.method.clone(), hop.url.clone()).headers(headers);
        if let Some(body) = &hop.body {
            sending = sending.body(body.bytes.clone());
        }
        let started = Instant::now();
        let response = sending.send().await.map_err(|error| Error::from_reqwest(&error, request.connect_timeout))?;
        let elapsed = started.elapsed();
        request.cookies.0.set_cookies(&mut response.headers().get_all(SET_COOKIE).iter(), &hop.url);
        let next = request.redirects.and_then(|_| hop.target(response.status(), response.headers()));
        let mut answer = Answer {
            status: response.status().as_u16(),
            reason: response.status().canonical_reason().unwrap_or_default(),
            headers: plain(response.headers()),
            body: Bytes::new(),
            url: without_credentials(&hop.url),
            elapsed,
            history: Vec::new(),
        };
        answer.body = match next {
            Some(_) => read(response, REDIRECT_BODY).await.unwrap_or_default(),
            None => read(response, request.max_body).await?,
        };
        Ok((answer, next))
    }

    /// Asks the guard about the host of a URL and every address it stands for.
    async fn check(&self, url: &Url, guard: &dyn Guard) -> Result<(), Error> {
        let host = url.host_str().ok_or_else(|| Error::InvalidUrl(format!("{url} names no host")))?;
        let port = url.port_or_known_default().unwrap_or(80);
        guard.check_host(host, port).map_err(Error::Denied)?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            _ => match self.resolver.pin(host).await {
                Ok(addresses) => addresses,
                // A proxy resolves for itself what is not known here.
                Err(_) if self.clients.has_proxy() => Vec::new(),
                Err(error) => return Err(Error::Connect(format!("the host {host} is not found: {error}"))),
            },
        };
        addresses.into_iter().try_for_each(|address| guard.check_address(host, port, address)).map_err(Error::Denied)
    }
}

/// Reads a body up to a limit.
async fn read(mut response: reqwest::Response, limit: u64) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::from_body(&error))? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(Error::BodyTooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Returns headers as text; what is no UTF-8 is read as ISO 8859-1.
fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Only URLs without a host can not be changed, and those are not sent.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Returns the headers of a request as they are sent.
fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = request.body.as_ref().and_then(|body| body.content_type) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut own = HeaderMap::new();
    for (name, text) in &request.headers {
        let wrong = || Error::InvalidHeader(name.chars().take(80).collect());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        own.append(name, HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?);
    }
    for name in own.keys() {
        headers.remove(name);
    }
    headers.extend(own);
    if let Some(credentials) = &request.credentials {
        let text = match credentials {
            Credentials::Basic(user, password) => {
                use base64::Engine as _;
                format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Credentials::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value =
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Error::InvalidHeader("authorization".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}
