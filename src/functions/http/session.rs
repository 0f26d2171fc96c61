//! Requests that belong together: cookies and defaults kept.

use std::collections::BTreeMap;

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::{invalid_argument, parse_options};

use crate::functions::http::call::{Call, read_options};
use crate::functions::http::{Response, send};
use crate::functions::{Thrown, context};
use crate::options::Options;
use crate::services::http::Cookies;
use crate::value::{Map, Value, map_of};

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Session>("Session");
    combine_with_exported_module!(module, "session", functions);
}

/// Requests that belong together: cookies and defaults kept.
#[derive(Debug, Clone)]
pub struct Session {
    base_url: Option<String>,
    defaults: Map,
    cookies: Cookies,
}

impl Session {
    fn new(written: &rhai::Map) -> Result<Self, Thrown> {
        context("http_session")?;
        let mut options = parse_options(written)?;
        let base_url = options.text("base_url").map_err(invalid_argument)?;
        let defaults = options.remaining();
        // Wrong defaults are told here, and not with the first request.
        Call::take("GET", "http://localhost", Options::new(defaults.clone()))?;
        Ok(Self { base_url, defaults, cookies: Cookies::default() })
    }

    /// Returns a URL below the base URL, or as it is if it is whole. Where no path is written, the base URL's stays as it is.
    fn url(&self, url: &str) -> String {
        match &self.base_url {
            Some(base) if url.is_empty() || url.starts_with(['?', '#']) => format!("{base}{url}"),
            Some(base) if !url.contains("://") => {
                format!("{}/{}", base.trim_end_matches('/'), url.trim_start_matches('/'))
            }
            _ => url.to_owned(),
        }
    }

    /// Returns the cookies by name, as the script sees them: of two hosts' cookies with one name, one.
    fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.all().into_iter().collect()
    }

    /// Makes the cookies what a script made of [`Session::cookies`]; Rhai sets them, too, after a method that only looked at them.
    fn set_cookies(&self, wanted: Vec<(String, String)>) -> Result<(), Thrown> {
        let (had, wanted) = (self.cookies(), BTreeMap::from_iter(wanted));
        let set: Vec<_> = wanted.iter().filter(|(name, value)| had.get(*name) != Some(*value)).collect();
        let base = self.base_url.as_deref().and_then(|base| url::Url::parse(base).ok());
        if base.is_none() && !set.is_empty() {
            return Err(invalid_argument(
                "cookies: whose? write `base_url` in `http_session`, or `cookies` in the options of a call",
            ));
        }
        let is_gone = |(name, value): &(&String, &String)| wanted.get(*name) != Some(*value);
        had.iter().filter(is_gone).for_each(|(name, _)| self.cookies.remove(name));
        for (base, (name, value)) in base.iter().flat_map(|base| set.iter().map(move |cookie| (base, cookie))) {
            self.cookies.put(name, value, base);
        }
        Ok(())
    }

    fn send(&self, method: &str, url: &str, written: &rhai::Map) -> Result<Response, Thrown> {
        self.send_with(method, url, read_options(written)?)
    }

    fn send_with(&self, method: &str, url: &str, own: Options) -> Result<Response, Thrown> {
        let mut merged = self.defaults.clone();
        let own = own.remaining();
        if SENT.iter().any(|name| own.contains_key(*name)) {
            merged.retain(|name, _| !SENT.contains(&name.as_str()));
        }
        for (name, value) in own {
            match (merged.get_mut(&name), value) {
                (Some(Value::Map(default)), Value::Map(own)) if LAID_OVER.contains(&name.as_str()) => {
                    overlay(default, own, name == "headers");
                }
                (_, value) => drop(merged.insert(name, value)),
            }
        }
        let mut call = Call::take(method, &self.url(url), Options::new(merged))?;
        call.kept = Some(self.cookies.clone());
        send("http_session", call)
    }
}

/// The options that say what is sent: those of a call replace those of its session.
const SENT: [&str; 3] = ["json", "data", "files"];

/// The options whose maps are laid over each other.
const LAID_OVER: [&str; 3] = ["headers", "params", "cookies"];

/// Puts named values over defaults.
fn overlay(defaults: &mut Map, own: Map, in_any_case: bool) {
    for (name, value) in own {
        if in_any_case {
            defaults.retain(|known, _| !known.eq_ignore_ascii_case(&name));
        }
        defaults.insert(name, value);
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the macro wants public functions, and unwraps receivers that it has checked"
)]
mod functions {
    /// Returns a session: its methods `get`, `post`, `put`, `patch`, `delete`, `head`, `options` and `request` are those of
    /// `http_get` and so on, and keep cookies from one to the next. A session lasts as long as the run.
    ///
    /// Options: `base_url`, and defaults for all others of `http_get`. Maps (`headers`, `params`, `cookies`) are laid over each other;
    /// `()` takes a default away.
    ///
    /// # Example
    /// ```rhai
    /// let shop = http_session(#{ base_url: "http://example.test", headers: #{ "X-Shop": "7" }, timeout: "5s" });
    /// shop.get("/cookies/set?basket=12");
    /// let r = shop.get("/get");
    /// assert_eq(r.json().headers.cookie, "basket=12");
    /// assert_eq(r.json().headers["x-shop"], "7");
    /// ```
    #[rhai_fn(name = "http_session", return_raw)]
    pub fn http_session() -> Result<Session, Thrown> {
        Session::new(&rhai::Map::new())
    }

    #[rhai_fn(name = "http_session", return_raw)]
    pub fn http_session_with(options: rhai::Map) -> Result<Session, Thrown> {
        Session::new(&options)
    }

    /// Gets what is at a URL, as `http_get` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert(session.get("/get", #{ params: #{ page: 2 } }).ok);
    /// ```
    #[rhai_fn(name = "get", pure, return_raw)]
    pub fn get(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("GET", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "get", pure, return_raw)]
    pub fn get_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("GET", url, &options)
    }

    /// Posts to a URL, as `http_post` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.post("/post", #{ data: "on" }).json().body, "on");
    /// ```
    #[rhai_fn(name = "post", pure, return_raw)]
    pub fn post(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("POST", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "post", pure, return_raw)]
    pub fn post_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("POST", url, &options)
    }

    /// Puts to a URL, as `http_put` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.put("/put").json().method, "PUT");
    /// ```
    #[rhai_fn(name = "put", pure, return_raw)]
    pub fn put(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("PUT", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "put", pure, return_raw)]
    pub fn put_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("PUT", url, &options)
    }

    /// Patches what is at a URL, as `http_patch` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.patch("/patch").json().method, "PATCH");
    /// ```
    #[rhai_fn(name = "patch", pure, return_raw)]
    pub fn patch(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("PATCH", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "patch", pure, return_raw)]
    pub fn patch_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("PATCH", url, &options)
    }

    /// Deletes what is at a URL, as `http_delete` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.delete("/delete").json().method, "DELETE");
    /// ```
    #[rhai_fn(name = "delete", pure, return_raw)]
    pub fn delete(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("DELETE", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "delete", pure, return_raw)]
    pub fn delete_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("DELETE", url, &options)
    }

    /// Asks for the headers at a URL, as `http_head` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.head("/get").text, "");
    /// ```
    #[rhai_fn(name = "head", pure, return_raw)]
    pub fn head(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("HEAD", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "head", pure, return_raw)]
    pub fn head_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("HEAD", url, &options)
    }

    /// Asks what can be done at a URL, as `http_options` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.options("/anything").json().method, "OPTIONS");
    /// ```
    #[rhai_fn(name = "options", pure, return_raw)]
    pub fn ask_options(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("OPTIONS", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "options", pure, return_raw)]
    pub fn ask_options_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("OPTIONS", url, &options)
    }

    /// Sends a request with any method, as `http_request` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.request("REPORT", "/anything").json().method, "REPORT");
    /// ```
    #[rhai_fn(name = "request", pure, return_raw)]
    pub fn request(session: &mut Session, method: &str, url: &str) -> Result<Response, Thrown> {
        session.send(method, url, &rhai::Map::new())
    }

    #[rhai_fn(name = "request", pure, return_raw)]
    pub fn request_with(
        session: &mut Session,
        method: &str,
        url: &str,
        options: rhai::Map,
    ) -> Result<Response, Thrown> {
        session.send(method, url, &options)
    }

    /// Calls a handler with each line of an answer, as `http_stream` does.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// let count = 0;
    /// session.stream("/lines/3", |line| count += 1);
    /// assert_eq(count, 3);
    /// ```
    #[rhai_fn(name = "stream", return_raw)]
    pub fn stream(
        context: NativeCallContext<'_>,
        session: &mut Session,
        url: &str,
        handler: FnPtr,
    ) -> Result<Response, Thrown> {
        stream_with(context, session, url, rhai::Map::new(), handler)
    }

    #[rhai_fn(name = "stream", return_raw)]
    pub fn stream_with(
        context: NativeCallContext<'_>,
        session: &mut Session,
        url: &str,
        options: rhai::Map,
        handler: FnPtr,
    ) -> Result<Response, Thrown> {
        let session = session.clone();
        super::super::stream(&context, &options, &handler, |options| session.send_with("GET", url, options))
    }

    /// The cookies that the session holds, by name. They can be removed, and set if the session has a `base_url`: they are for its host.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// session.get("/cookies/set?basket=12");
    /// assert_eq(session.cookies.basket, "12");
    /// session.cookies.lang = "no";
    /// assert("lang=no" in session.get("/get").json().headers.cookie);
    /// session.cookies.clear();
    /// assert_eq(session.get("/get").json().headers.cookie, ());
    /// ```
    #[rhai_fn(get = "cookies", pure)]
    pub fn cookies(session: &mut Session) -> rhai::Map {
        map_of(session.cookies().into_iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[rhai_fn(set = "cookies", return_raw)]
    pub fn set_cookies(session: &mut Session, cookies: rhai::Map) -> Result<(), Thrown> {
        let wanted = super::super::call::cookies(crate::functions::arguments::value(&cookies.into())?);
        session.set_cookies(wanted.map_err(|why| invalid_argument(format!("cookies: {why}")))?)
    }
}
