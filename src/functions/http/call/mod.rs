//! A request as a script asks for it.

mod connect_options;
mod limits;
mod pairs;
mod sent;

use std::time::{Duration, Instant};

use url::Url;

use self::connect_options::ConnectOptions;
use self::limits::Times;
use self::pairs::{Pairs, encoded, pairs};
use self::sent::Sent;
use crate::functions::arguments::{invalid_argument, parse_options};
use crate::functions::convert::to_value;
use crate::functions::http::fault::with;
use crate::functions::outside::allowed;
use crate::functions::{Context, Thrown};
use crate::options::{OptionFault, Options};
use crate::services::http::{self, Cookies, Credentials, Request, RetryPolicy, Sink};
use crate::value::{Map, Value};

/// How many redirects are followed unless the script says otherwise.
const REDIRECTS: usize = 30;

/// A request as a script asks for it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: String,
    url: String,
    /// What stands behind the URL, encoded.
    params: String,
    headers: Pairs,
    sent: Option<Sent>,
    credentials: Option<Credentials>,
    cookies: Pairs,
    /// The cookies of a session.
    pub(super) kept: Option<Cookies>,
    times: Times,
    redirects: Option<usize>,
    retry: RetryPolicy,
    way: ConnectOptions,
    save_to: Option<String>,
    /// Whether the body is read as the script asks for it.
    pub(super) is_stream: bool,
    max_body: Option<u64>,
}

impl Call {
    /// A request without options.
    pub(super) fn new(method: &str, url: &str) -> Self {
        let method = method.to_ascii_uppercase();
        Self {
            redirects: (method != "HEAD").then_some(REDIRECTS),
            method,
            url: url.to_owned(),
            params: String::new(),
            headers: Pairs::new(),
            sent: None,
            credentials: None,
            cookies: Pairs::new(),
            kept: None,
            times: Times::default(),
            retry: RetryPolicy::never(),
            way: ConnectOptions::default(),
            save_to: None,
            is_stream: false,
            max_body: None,
        }
    }

    /// A request with options.
    pub(super) fn read(method: &str, url: &str, written: &rhai::Map) -> Result<Self, Thrown> {
        Self::take(method, url, read_options(written)?)
    }

    pub(super) fn take(method: &str, url: &str, mut options: Options) -> Result<Self, Thrown> {
        let mut call = Self::new(method, url);
        call.fill(&mut options).map_err(invalid_argument)?;
        options.finish().map_err(invalid_argument)?;
        Ok(call)
    }

    fn fill(&mut self, options: &mut Options) -> Result<(), OptionFault> {
        self.params = options.read("params", params)?.unwrap_or_default();
        self.headers = options.read("headers", |value| pairs(value, false))?.unwrap_or_default();
        self.sent = sent::read(options)?;
        self.credentials = options.read("auth", credentials)?;
        self.cookies = options.read("cookies", cookies)?.unwrap_or_default();
        self.times = limits::times(options)?;
        let redirects = options.read("allow_redirects", |value| match value {
            Value::Bool(true) => Ok(Some(REDIRECTS)),
            Value::Bool(false) => Ok(None),
            Value::Int(most @ 0..=100) => Ok(Some(most as usize)),
            _ => Err("write true, false or how many at most, up to 100".to_owned()),
        })?;
        self.redirects = redirects.unwrap_or(self.redirects);
        self.way = ConnectOptions::read(options)?;
        self.retry = limits::retry(options)?;
        self.save_to = options.text("save_to")?;
        self.is_stream = options.bool("stream")?.unwrap_or(false);
        self.max_body = options.size("max_body")?;
        if self.is_stream && self.save_to.is_some() {
            return Err(OptionFault::new("`stream` and `save_to` are two ways to take the body: write one"));
        }
        Ok(())
    }

    /// Returns what the call does, for the ledger.
    pub(super) fn told(&self, url: &Url) -> String {
        let trust = if self.way.is_unverified() { ", any certificate is taken" } else { "" };
        format!("{} {}{trust}", self.method, super::shown_url(url))
    }

    /// Returns the URL with its parameters.
    pub(super) fn url(&self) -> Result<Url, Thrown> {
        let mut url = parsed(&self.url)?;
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
    pub(super) fn request(self, asking: &str, url: Url, context: &Context) -> Result<Request, Thrown> {
        let limits = &context.config.limits;
        let cookies = self.kept.as_ref().map(Cookies::copy).unwrap_or_default();
        self.cookies.iter().for_each(|(name, value)| cookies.put(name, value, &url));
        // The run's own deadline comes first, and ends it in its own way.
        let left = context.deadline.saturating_duration_since(Instant::now()).saturating_add(Duration::from_secs(1));
        let max_body = self.max_body.unwrap_or(limits.http_body).min(limits.memory);
        let sink = match &self.save_to {
            Some(path) => {
                let limit = self.max_body.unwrap_or(limits.http_file);
                Sink::File { path: allowed(asking, path, true)?, limit }
            }
            None if self.is_stream => Sink::Stream { is_timed: self.times.total.is_some() },
            None => Sink::Memory,
        };
        Ok(Request {
            method: self.method,
            url,
            headers: self.headers,
            body: self.sent.map(|sent| sent.ready(asking)).transpose()?,
            credentials: self.credentials,
            cookies,
            session_cookies: self.kept,
            timeouts: http::Timeouts {
                connect: self.times.connect.unwrap_or(limits.http_connect_timeout),
                read: self.times.read,
                total: self.times.total.unwrap_or(limits.http_timeout).min(left),
            },
            redirects: self.redirects,
            retry: self.retry,
            connect_options: self.way.ready(asking)?,
            sink,
            max_body,
        })
    }
}

/// Returns the options of a call. That one is unknown comes before that its value is no data: `hooks` of `requests` are functions.
pub(super) fn read_options(written: &rhai::Map) -> Result<Options, Thrown> {
    parse_options(written).or_else(|why| {
        let unfit = |(name, value): (_, _)| to_value(value).is_err().then(|| (ToString::to_string(name), Value::Null));
        Call::take("GET", "http://localhost", Options::new(written.iter().filter_map(unfit).collect())).and(Err(why))
    })
}

/// Reads a URL; says what is most likely missing.
fn parsed(text: &str) -> Result<Url, Thrown> {
    // What stands before an @ may be a password.
    let public = match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("//").map(|(scheme, _)| format!("{scheme}//")).unwrap_or_default();
            format!("{scheme}***@{after}")
        }
        None => text.to_owned(),
    };
    let shown: String = public.chars().take(200).collect();
    let wrong = |why: String| Err(with(crate::functions::thrown("invalid_url", why), [("url", shown.clone().into())]));
    let looks_bare = !text.contains("://") && !text.is_empty();
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ if looks_bare => wrong(format!("{shown:?} is no URL: did you mean \"http://{shown}\"?")),
        Ok(url) => wrong(format!("{shown:?}: {} is not spoken here: write http:// or https://", url.scheme())),
        Err(why) => wrong(format!("{shown:?} is no URL: {why}")),
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
        Some((name, _)) => Err(format!("{name:?} has characters that cookies must not have")),
        None => Ok(cookies),
    }
}

fn credentials(value: Value) -> Result<Credentials, String> {
    let wrong =
        || "write [\"user\", \"password\"], #{ digest: [\"user\", \"password\"] } or #{ bearer: \"token\" }".to_owned();
    match value {
        Value::List(pair) => both(pair).map(|(user, password)| Credentials::Basic(user, password)).ok_or_else(wrong),
        Value::Map(map) => named_credentials(map).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn named_credentials(map: Map) -> Option<Credentials> {
    let mut entries = map.into_iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else { return None };
    match (name.as_str(), value) {
        ("bearer", Value::Text(token)) => Some(Credentials::Bearer(token)),
        ("basic", Value::List(pair)) => both(pair).map(|(user, password)| Credentials::Basic(user, password)),
        ("digest", Value::List(pair)) => both(pair).map(|(user, password)| Credentials::Digest(user, password)),
        _ => None,
    }
}

fn both(pair: Vec<Value>) -> Option<(String, String)> {
    match <[Value; 2]>::try_from(pair) {
        Ok([Value::Text(user), Value::Text(password)]) => Some((user, password)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_met_with_a_proposal() {
        let error = parsed("127.0.0.1:80/x").unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:80/x"), "{error}");
        let error = parsed("ftp://example.com").unwrap_err().to_string();
        assert!(error.contains("ftp is not spoken here"), "{error}");
    }

    #[test]
    fn a_password_in_a_url_that_is_none_is_not_told() {
        for text in ["http://ann:hunter2@a b/", "ftp://ann:hunter2@a/", "ann:hunter2@a/"] {
            let error = parsed(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
