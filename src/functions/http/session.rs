//! Sessions: requests with shared cookies and default options.

use std::collections::BTreeMap;

use crate::functions::arguments::parse_options;
use crate::functions::http::call::{Call, read_options};
use crate::functions::http::response::Response;
use crate::functions::http::send::send;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::options::Options;
use crate::services::http::Cookies;
use crate::value::{Map, Value};

/// Shared cookies and default options of several requests.
#[derive(Debug, Clone)]
pub struct Session {
    base_url: Option<String>,
    defaults: Map,
    cookies: Cookies,
}

impl Session {
    pub(super) fn new(written: &rhai::Map) -> Result<Self, Thrown> {
        context("http_session")?;
        let mut options = parse_options(written)?;
        let base_url = options.text("base_url").map_err(invalid_argument)?;
        let defaults = options.remaining();
        // Reports invalid defaults here instead of at the first request.
        Call::from_options("GET", "http://localhost", Options::new(defaults.clone()))?;
        Ok(Self { base_url, defaults, cookies: Cookies::default() })
    }

    /// Resolves a URL: appends a path to the base URL, keeps the path of the base URL if `url` has none, keeps an absolute URL.
    fn url(&self, url: &str) -> String {
        match &self.base_url {
            Some(base) if url.is_empty() || url.starts_with(['?', '#']) => format!("{base}{url}"),
            Some(base) if !url.contains("://") => {
                format!("{}/{}", base.trim_end_matches('/'), url.trim_start_matches('/'))
            }
            _ => url.to_owned(),
        }
    }

    /// Returns the cookies by name. Cookies of different hosts with the same name appear once.
    pub(super) fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.all().into_iter().collect()
    }

    /// Applies changes that a script made to [`Session::cookies`]. Rhai also calls this after a method that only read them.
    pub(super) fn set_cookies(&self, wanted: Vec<(String, String)>) -> Result<(), Thrown> {
        let (had, wanted) = (self.cookies(), BTreeMap::from_iter(wanted));
        let set: Vec<_> = wanted.iter().filter(|(name, value)| had.get(*name) != Some(*value)).collect();
        let base = self.base_url.as_deref().and_then(|base| url::Url::parse(base).ok());
        if base.is_none() && !set.is_empty() {
            return Err(invalid_argument(
                "cookies: their host is unknown: set `base_url` in `http_session`, or use the option `cookies` of a request",
            ));
        }
        let is_removed = |(name, value): &(&String, &String)| wanted.get(*name) != Some(*value);
        had.iter().filter(is_removed).for_each(|(name, _)| self.cookies.remove(name));
        for (base, (name, value)) in base.iter().flat_map(|base| set.iter().map(move |cookie| (base, cookie))) {
            self.cookies.put(name, value, base);
        }
        Ok(())
    }

    pub(super) fn send(&self, method: &str, url: &str, written: &rhai::Map) -> Result<Response, Thrown> {
        self.send_with(method, url, read_options(written)?)
    }

    pub(super) fn send_with(&self, method: &str, url: &str, own: Options) -> Result<Response, Thrown> {
        let mut merged = self.defaults.clone();
        let own = own.remaining();
        if BODY_OPTIONS.iter().any(|name| own.contains_key(*name)) {
            merged.retain(|name, _| !BODY_OPTIONS.contains(&name.as_str()));
        }
        for (name, value) in own {
            match (merged.get_mut(&name), value) {
                (Some(Value::Map(default)), Value::Map(own)) if MERGED_OPTIONS.contains(&name.as_str()) => {
                    merge(default, own, name == "headers");
                }
                (_, value) => drop(merged.insert(name, value)),
            }
        }
        let mut call = Call::from_options(method, &self.url(url), Options::new(merged))?;
        call.session_cookies = Some(self.cookies.clone());
        send("http_session", call)
    }
}

/// Options for the request body: those of a request replace all of them from the session.
const BODY_OPTIONS: [&str; 3] = ["json", "data", "files"];

/// Options whose maps are merged with those of the session.
const MERGED_OPTIONS: [&str; 3] = ["headers", "params", "cookies"];

/// Merges values into defaults.
fn merge(defaults: &mut Map, own: Map, ignore_case: bool) {
    for (name, value) in own {
        if ignore_case {
            defaults.retain(|known, _| !known.eq_ignore_ascii_case(&name));
        }
        defaults.insert(name, value);
    }
}
