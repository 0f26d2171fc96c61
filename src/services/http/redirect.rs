//! The requests of a chain of redirects and authentication challenges.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use url::Url;

use crate::services::http::digest::Challenge;
use crate::services::http::error::Error;
use crate::services::http::request::{Credentials, Request, RequestBody};
use crate::services::http::response::HttpResponse;
use crate::services::http::response::without_credentials;

/// The default `User-Agent`.
const DEFAULT_USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("rhaid/", env!("CARGO_PKG_VERSION")));

/// Substrings of the names of sensitive headers.
const SENSITIVE_NAMES: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];

/// One request of a chain.
#[derive(Debug)]
pub(super) struct RequestStep {
    pub(super) method: Method,
    /// Without credentials.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<RequestBody>,
    /// User and password for Digest authentication.
    digest: Option<(String, String)>,
    /// Number of authentication attempts at this URL.
    auth_attempts: usize,
}

impl RequestStep {
    pub(super) fn initial(request: &Request) -> Result<Self, Error> {
        let wrong = |_| Error::InvalidUrl(format!("{:?} is not an HTTP method", request.method));
        let mut step = Self {
            method: Method::from_bytes(request.method.as_bytes()).map_err(wrong)?,
            url: http_url(&request.url)?,
            headers: headers(request)?,
            body: request.body.clone(),
            digest: None,
            auth_attempts: 0,
        };
        match request.credentials.clone().or_else(|| url_credentials(&request.url)) {
            Some(Credentials::Basic(user, password)) => {
                step.authorize(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))?;
            }
            Some(Credentials::Bearer(token)) => step.authorize(&format!("Bearer {token}"))?,
            Some(Credentials::Digest(user, password)) => step.digest = Some((user, password)),
            None => {}
        }
        Ok(step)
    }

    fn authorize(&mut self, text: &str) -> Result<(), Error> {
        let value = HeaderValue::from_bytes(text.as_bytes());
        let mut value = value.map_err(|_| Error::InvalidHeader("authorization".into()))?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Returns the target of a redirect response.
    pub(super) fn redirect_target(&self, response: &HttpResponse) -> Option<Url> {
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let mut redirect_target = self.url.join(response.header("location").next()?).ok()?;
        if redirect_target.fragment().is_none() {
            redirect_target.set_fragment(self.url.fragment());
        }
        Some(redirect_target)
    }

    /// Returns the next request of the chain.
    ///
    /// Source: RFC 9110, section 15.4, and the behaviour of browsers and `requests` for 301 and 302.
    pub(super) fn redirect(mut self, status: u16, redirect_target: &Url) -> Result<Self, Error> {
        let becomes_get = match status {
            301 => self.method == Method::POST,
            302 | 303 => self.method != Method::HEAD && self.method != Method::GET,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
        if !may_share_credentials(&self.url, redirect_target) {
            let sensitive = |(name, value): (&HeaderName, &HeaderValue)| value.is_sensitive().then(|| name.clone());
            let sensitive: Vec<_> = self.headers.iter().filter_map(sensitive).collect();
            sensitive.iter().for_each(|name| drop(self.headers.remove(name)));
            self.headers.remove(HOST);
            self.digest = None;
        } else if self.digest.is_some() {
            // A Digest response is valid for one URL only.
            self.headers.remove(AUTHORIZATION);
        }
        // Cookies are selected again for each request.
        self.headers.remove(COOKIE);
        self.auth_attempts = 0;
        self.url = http_url(redirect_target)?;
        Ok(self)
    }

    /// Returns the challenge of a response, if this request can answer it and has not yet.
    pub(super) fn challenge(&self, response: &HttpResponse) -> Option<Challenge> {
        let challenge = (response.status == 401 && self.digest.is_some())
            .then(|| Challenge::strongest(response.header("www-authenticate")))
            .flatten()?;
        (self.auth_attempts == 0 || challenge.is_stale && self.auth_attempts == 1).then_some(challenge)
    }

    /// Returns the same request with a Digest response.
    pub(super) fn authenticate(mut self, challenge: &Challenge) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        crate::random::fill(&mut bytes).map_err(|why| Error::InvalidOption(format!("auth: {why}")))?;
        if let Some((user, password)) = &self.digest {
            let uri = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
            let header = challenge.authorization(user, password, self.method.as_str(), uri, &hex::encode(bytes));
            self.authorize(&header)?;
        }
        self.auth_attempts += 1;
        Ok(self)
    }
}

/// Returns whether credentials for one URL may be sent to another: same host and port, or an upgrade to https.
fn may_share_credentials(from: &Url, to: &Url) -> bool {
    let made_secure = from.scheme() == "http"
        && to.scheme() == "https"
        && from.port_or_known_default() == Some(80)
        && to.port_or_known_default() == Some(443);
    from.host_str() == to.host_str()
        && (made_secure || from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default())
}

/// Returns an HTTP URL without its credentials.
fn http_url(url: &Url) -> Result<Url, Error> {
    match url.scheme() {
        "http" | "https" => Ok(without_credentials(url)),
        other => Err(Error::InvalidUrl(format!("{other}: is not supported: write http: or https:"))),
    }
}

/// Returns the credentials of a URL.
fn url_credentials(url: &Url) -> Option<Credentials> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let is_there = !url.username().is_empty() || url.password().is_some();
    is_there.then(|| Credentials::Basic(plain(url.username()), plain(url.password().unwrap_or_default())))
}

/// Returns the headers of a request, with sensitive ones marked.
fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, text) in &request.headers {
        let wrong = || Error::InvalidHeader(name.chars().take(80).collect());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?;
        let is_sensitive = name != "idempotency-key" && SENSITIVE_NAMES.iter().any(|part| name.as_str().contains(part));
        value.set_sensitive(is_sensitive || name == PROXY_AUTHORIZATION);
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(DEFAULT_USER_AGENT);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    match &request.body {
        Some(RequestBody::Bytes(_, Some(content_type))) => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        // It contains the boundary, which only the encoder knows.
        Some(RequestBody::Multipart(_)) => drop(headers.remove(CONTENT_TYPE)),
        _ => {}
    }
    Ok(headers)
}
