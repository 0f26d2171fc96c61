//! Redirects, hop by hop.

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, PROXY_AUTHORIZATION};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::services::http::{Body, Error, Request, headers};

/// One request of a chain.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
}

impl Hop {
    pub(super) fn first(request: &Request) -> Result<Self, Error> {
        let wrong = |_| Error::InvalidUrl(format!("{:?} is no HTTP method", request.method));
        Ok(Self {
            method: Method::from_bytes(request.method.as_bytes()).map_err(wrong)?,
            url: checked(request.url.clone())?,
            headers: headers(request)?,
            body: request.body.clone(),
        })
    }

    /// Returns where an answer sends us, if it does.
    pub(super) fn target(&self, status: StatusCode, headers: &HeaderMap) -> Option<Url> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = headers.get(LOCATION)?;
        let mut target = self.url.join(&String::from_utf8_lossy(location.as_bytes())).ok()?;
        if target.fragment().is_none() {
            target.set_fragment(self.url.fragment());
        }
        Some(target)
    }

    /// Returns the next request of the chain.
    ///
    /// Source: RFC 9110, section 15.4, and what browsers and `requests` do with 301 and 302.
    pub(super) fn redirected(mut self, status: u16, target: Url) -> Result<Self, Error> {
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
        if !same_owner(&self.url, &target) {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(PROXY_AUTHORIZATION);
        }
        // Cookies are chosen anew for each hop.
        self.headers.remove(COOKIE);
        self.url = checked(target)?;
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

fn checked(url: Url) -> Result<Url, Error> {
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Error::InvalidUrl(format!("{other}: is not spoken here: write http: or https:"))),
    }
}
