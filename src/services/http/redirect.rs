//! The requests of a chain: redirects, and the proof that a server wants.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use url::Url;

use crate::services::http::answer::without_credentials;
use crate::services::http::digest::Challenge;
use crate::services::http::{Answer, Body, Credentials, Error, Request};

/// What every server is told of us, unless the script says something else.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("rhaid/", env!("CARGO_PKG_VERSION")));

/// Parts of the names of headers that tell a server who asks.
const TELLING: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];

/// One request of a chain.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) method: Method,
    /// Without credentials.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    /// User and password, to be proved when the server wants it.
    digest: Option<(String, String)>,
    /// How many proofs the server has seen.
    proofs: usize,
}

impl Hop {
    pub(super) fn first(request: &Request) -> Result<Self, Error> {
        let wrong = |_| Error::InvalidUrl(format!("{:?} is no HTTP method", request.method));
        let mut hop = Self {
            method: Method::from_bytes(request.method.as_bytes()).map_err(wrong)?,
            url: checked(&request.url)?,
            headers: headers(request)?,
            body: request.body.clone(),
            digest: None,
            proofs: 0,
        };
        match request.credentials.clone().or_else(|| written(&request.url)) {
            Some(Credentials::Basic(user, password)) => {
                hop.authorize(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))?;
            }
            Some(Credentials::Bearer(token)) => hop.authorize(&format!("Bearer {token}"))?,
            Some(Credentials::Digest(user, password)) => hop.digest = Some((user, password)),
            None => {}
        }
        Ok(hop)
    }

    fn authorize(&mut self, text: &str) -> Result<(), Error> {
        let value = HeaderValue::from_bytes(text.as_bytes());
        let mut value = value.map_err(|_| Error::InvalidHeader("authorization".into()))?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Returns where an answer sends us, if it does.
    pub(super) fn target(&self, answer: &Answer) -> Option<Url> {
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let mut target = self.url.join(answer.header("location").next()?).ok()?;
        if target.fragment().is_none() {
            target.set_fragment(self.url.fragment());
        }
        Some(target)
    }

    /// Returns the next request of the chain.
    ///
    /// Source: RFC 9110, section 15.4, and what browsers and `requests` do with 301 and 302.
    pub(super) fn redirected(mut self, status: u16, target: &Url) -> Result<Self, Error> {
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
        if !same_owner(&self.url, target) {
            let telling = |(name, value): (&HeaderName, &HeaderValue)| value.is_sensitive().then(|| name.clone());
            let telling: Vec<_> = self.headers.iter().filter_map(telling).collect();
            telling.iter().for_each(|name| drop(self.headers.remove(name)));
            self.headers.remove(HOST);
            self.digest = None;
        } else if self.digest.is_some() {
            // A proof is good for one URL.
            self.headers.remove(AUTHORIZATION);
        }
        // Cookies are chosen anew for each hop.
        self.headers.remove(COOKIE);
        self.proofs = 0;
        self.url = checked(target)?;
        Ok(self)
    }

    /// Returns the demand of an answer that this request can meet and has not met yet.
    pub(super) fn demand(&self, answer: &Answer) -> Option<Challenge> {
        let challenge = (answer.status == 401 && self.digest.is_some())
            .then(|| Challenge::find(answer.header("www-authenticate")))
            .flatten()?;
        (self.proofs == 0 || challenge.is_stale && self.proofs == 1).then_some(challenge)
    }

    /// Returns the same request with a proof.
    pub(super) fn proving(mut self, challenge: &Challenge) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        crate::random::fill(&mut bytes).map_err(|why| Error::InvalidOption(format!("auth: {why}")))?;
        if let Some((user, password)) = &self.digest {
            let uri = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
            let header = challenge.meet(user, password, self.method.as_str(), uri, &hex::encode(bytes));
            self.authorize(&header)?;
        }
        self.proofs += 1;
        Ok(self)
    }
}

/// Returns whether credentials for one URL may be told to another: the same host and port, or its secure counterpart.
fn same_owner(from: &Url, to: &Url) -> bool {
    let made_secure = from.scheme() == "http"
        && to.scheme() == "https"
        && from.port_or_known_default() == Some(80)
        && to.port_or_known_default() == Some(443);
    from.host_str() == to.host_str()
        && (made_secure || from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default())
}

/// Returns a URL that can be asked, without its credentials.
fn checked(url: &Url) -> Result<Url, Error> {
    match url.scheme() {
        "http" | "https" => Ok(without_credentials(url)),
        other => Err(Error::InvalidUrl(format!("{other}: is not spoken here: write http: or https:"))),
    }
}

/// Returns the credentials that stand in a URL.
fn written(url: &Url) -> Option<Credentials> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let is_there = !url.username().is_empty() || url.password().is_some();
    is_there.then(|| Credentials::Basic(plain(url.username()), plain(url.password().unwrap_or_default())))
}

/// Returns the headers of a request as they are sent; those that tell who asks are marked as sensitive.
fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, text) in &request.headers {
        let wrong = || Error::InvalidHeader(name.chars().take(80).collect());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?;
        let is_telling = name != "idempotency-key" && TELLING.iter().any(|part| name.as_str().contains(part));
        value.set_sensitive(is_telling || name == PROXY_AUTHORIZATION);
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(OURSELVES);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    match &request.body {
        Some(Body::Bytes(_, Some(content_type))) => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        // It says where one field ends and the next begins, which only we know.
        Some(Body::Multipart(_)) => drop(headers.remove(CONTENT_TYPE)),
        _ => {}
    }
    Ok(headers)
}
