//! Requests with the options that scripts write.

mod body;
mod connect_options;
mod credentials;
mod limits;
mod pairs;

use std::time::{Duration, Instant};

use url::Url;

use self::body::CallBody;
use self::connect_options::ConnectOptions;
use self::credentials::credentials;
use self::limits::Timeouts;
use self::pairs::{Pairs, encoded, pairs};
use crate::functions::arguments::parse_options;
use crate::functions::context::Context;
use crate::functions::convert::to_value;
use crate::functions::http::shown_url::shown_url;
use crate::functions::outside::files::allowed;
use crate::functions::thrown::{Thrown, invalid_argument, thrown, with_fields};
use crate::options::{OptionFault, Options};
use crate::services::http::{self, Cookies, Credentials, Request, RetryPolicy, Sink};
use crate::value::Value;

/// Default maximum number of redirects.
const DEFAULT_REDIRECTS: usize = 30;

/// A request with the options that a script wrote.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: String,
    url: String,
    /// Query parameters, encoded.
    params: String,
    headers: Pairs,
    body: Option<CallBody>,
    credentials: Option<Credentials>,
    cookies: Pairs,
    /// Cookies of the session.
    pub(super) session_cookies: Option<Cookies>,
    timeouts: Timeouts,
    redirects: Option<usize>,
    retry: RetryPolicy,
    connect_options: ConnectOptions,
    save_to: Option<String>,
    /// Whether the response body is received on demand.
    pub(super) is_stream: bool,
    max_body: Option<u64>,
}

impl Call {
    /// Creates a request without options.
    pub(super) fn new(method: &str, url: &str) -> Self {
        let method = method.to_ascii_uppercase();
        Self {
            redirects: (method != "HEAD").then_some(DEFAULT_REDIRECTS),
            method,
            url: url.to_owned(),
            params: String::new(),
            headers: Pairs::new(),
            body: None,
            credentials: None,
            cookies: Pairs::new(),
            session_cookies: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::never(),
            connect_options: ConnectOptions::default(),
            save_to: None,
            is_stream: false,
            max_body: None,
        }
    }

    /// Creates a request with the options of a script.
    pub(super) fn read(method: &str, url: &str, written: &rhai::Map) -> Result<Self, Thrown> {
        Self::from_options(method, url, read_options(written)?)
    }

    /// Creates a request with options.
    pub(super) fn from_options(method: &str, url: &str, mut options: Options) -> Result<Self, Thrown> {
        let mut call = Self::new(method, url);
        call.read_options(&mut options).map_err(invalid_argument)?;
        options.finish().map_err(invalid_argument)?;
        Ok(call)
    }

    fn read_options(&mut self, options: &mut Options) -> Result<(), OptionFault> {
        self.params = options.read("params", params)?.unwrap_or_default();
        self.headers = options.read("headers", |value| pairs(value, false))?.unwrap_or_default();
        self.body = body::read(options)?;
        self.credentials = options.read("auth", credentials)?;
        self.cookies = options.read("cookies", cookies)?.unwrap_or_default();
        self.timeouts = limits::timeouts(options)?;
        let redirects = options.read("allow_redirects", |value| match value {
            Value::Bool(true) => Ok(Some(DEFAULT_REDIRECTS)),
            Value::Bool(false) => Ok(None),
            Value::Int(most @ 0..=100) => Ok(Some(most as usize)),
            _ => Err("write true, false or the maximum number, up to 100".to_owned()),
        })?;
        self.redirects = redirects.unwrap_or(self.redirects);
        self.connect_options = ConnectOptions::read(options)?;
        self.retry = limits::retry(options)?;
        self.save_to = options.text("save_to")?;
        self.is_stream = options.bool("stream")?.unwrap_or(false);
        self.max_body = options.size("max_body")?;
        if self.is_stream && self.save_to.is_some() {
            return Err(OptionFault::new("`stream` and `save_to` exclude each other: remove one"));
        }
        Ok(())
    }

    /// Returns a summary for the run history.
    pub(super) fn summary(&self, url: &Url) -> String {
        let trust = if self.connect_options.is_unverified() { ", any certificate is accepted" } else { "" };
        format!("{} {}{trust}", self.method, shown_url(url))
    }

    /// Returns the URL with its parameters.
    pub(super) fn url(&self) -> Result<Url, Thrown> {
        let mut url = parse_url(&self.url)?;
        if !self.params.is_empty() {
            let query = match url.query() {
                Some(own) if !own.is_empty() => format!("{own}&{}", self.params),
                _ => self.params.clone(),
            };
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    /// Returns the request with the limits of the run.
    pub(super) fn request(self, function: &str, url: Url, context: &Context) -> Result<Request, Thrown> {
        let limits = &context.config.limits;
        let cookies = self.session_cookies.as_ref().map(Cookies::copy).unwrap_or_default();
        self.cookies.iter().for_each(|(name, value)| cookies.put(name, value, &url));
        // One second more, so that the run's own deadline passes first and ends the run.
        let left = context.deadline.saturating_duration_since(Instant::now()).saturating_add(Duration::from_secs(1));
        let max_body = self.max_body.unwrap_or(limits.http_body).min(limits.memory);
        let sink = match &self.save_to {
            Some(path) => {
                let limit = self.max_body.unwrap_or(limits.http_file);
                Sink::File { path: allowed(function, path, true)?, limit }
            }
            None if self.is_stream => Sink::Stream { is_timed: self.timeouts.total.is_some() },
            None => Sink::Memory,
        };
        Ok(Request {
            method: self.method,
            url,
            headers: self.headers,
            body: self.body.map(|body| body.resolve(function)).transpose()?,
            credentials: self.credentials,
            cookies,
            session_cookies: self.session_cookies,
            timeouts: http::Timeouts {
                connect: self.timeouts.connect.unwrap_or(limits.http_connect_timeout),
                read: self.timeouts.read,
                total: self.timeouts.total.unwrap_or(limits.http_timeout).min(left),
            },
            redirects: self.redirects,
            retry: self.retry,
            connect_options: self.connect_options.resolve(function)?,
            sink,
            max_body,
        })
    }
}

/// Reads the options of a request. An unknown option is reported before a value that is not data, such as the functions in `hooks` of
/// Python's `requests`.
pub(super) fn read_options(written: &rhai::Map) -> Result<Options, Thrown> {
    parse_options(written).or_else(|why| {
        let not_data =
            |(name, value): (_, _)| to_value(value).is_err().then(|| (ToString::to_string(name), Value::Null));
        Call::from_options("GET", "http://localhost", Options::new(written.iter().filter_map(not_data).collect()))
            .and(Err(why))
    })
}

/// Parses a URL; the error suggests a missing scheme.
fn parse_url(text: &str) -> Result<Url, Thrown> {
    // The text before an `@` may be a password.
    let public = match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("//").map(|(scheme, _)| format!("{scheme}//")).unwrap_or_default();
            format!("{scheme}***@{after}")
        }
        None => text.to_owned(),
    };
    let shown: String = public.chars().take(200).collect();
    let wrong = |why: String| Err(with_fields(thrown("invalid_url", why), [("url", shown.clone().into())]));
    let looks_bare = !text.contains("://") && !text.is_empty();
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ if looks_bare => wrong(format!("{shown:?} is not a URL: did you mean \"http://{shown}\"?")),
        Ok(url) => wrong(format!("{shown:?}: the scheme {} is not supported: write http:// or https://", url.scheme())),
        Err(why) => wrong(format!("{shown:?} is not a URL: {why}")),
    }
}

fn params(value: Value) -> Result<String, String> {
    match value {
        Value::Text(ready) => Ok(ready),
        value => pairs(value, true).map(|pairs| encoded(&pairs)),
    }
}

/// Reads cookies: a map or pairs.
pub(super) fn cookies(value: Value) -> Result<Pairs, String> {
    let cookies = pairs(value, false)?;
    match cookies.iter().find(|(name, value)| format!("{name}{value}").contains(|c: char| c.is_control() || c == ';')) {
        Some((name, _)) => Err(format!("{name:?} contains characters that are not allowed in cookies")),
        None => Ok(cookies),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_url_without_scheme_suggests_one() {
        let error = parse_url("127.0.0.1:80/x").unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:80/x"), "{error}");
        let error = parse_url("ftp://example.com").unwrap_err().to_string();
        assert!(error.contains("the scheme ftp is not supported"), "{error}");
    }

    #[test]
    fn the_error_for_an_invalid_url_hides_the_password() {
        for text in ["http://ann:hunter2@a b/", "ftp://ann:hunter2@a/", "ann:hunter2@a/"] {
            let error = parse_url(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
