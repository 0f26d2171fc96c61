//! `http_session`, and the methods of a session.

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::value;
use crate::functions::http::call::cookies as parse_cookies;
use crate::functions::http::response::Response;
use crate::functions::http::session::Session;
use crate::functions::http::stream::stream as stream_pieces;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::value::map_of;

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Session>("Session");
    combine_with_exported_module!(module, "session", functions);
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Returns a session, which keeps cookies between requests. Its methods `get`, `post`, `put`, `patch`, `delete`, `head`, `options`,
    /// `request` and `stream` work like `http_get` and so on. A session lasts until the end of the run.
    ///
    /// Options: `base_url`, and defaults for all options of `http_get`. The maps `headers`, `params` and `cookies` of a request are merged
    /// with the defaults; `()` removes a default.
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

    /// Sends a GET request, like `http_get`.
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

    /// Sends a POST request, like `http_post`.
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

    /// Sends a PUT request, like `http_put`.
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

    /// Sends a PATCH request, like `http_patch`.
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

    /// Sends a DELETE request, like `http_delete`.
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

    /// Sends a HEAD request, like `http_head`.
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

    /// Sends an OPTIONS request, like `http_options`.
    ///
    /// # Example
    /// ```rhai
    /// let session = http_session(#{ base_url: "http://example.test" });
    /// assert_eq(session.options("/anything").json().method, "OPTIONS");
    /// ```
    #[rhai_fn(name = "options", pure, return_raw)]
    pub fn http_options(session: &mut Session, url: &str) -> Result<Response, Thrown> {
        session.send("OPTIONS", url, &rhai::Map::new())
    }

    #[rhai_fn(name = "options", pure, return_raw)]
    pub fn http_options_with(session: &mut Session, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        session.send("OPTIONS", url, &options)
    }

    /// Sends a request with any method, like `http_request`.
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

    /// Calls a function with each line of the response, like `http_stream`.
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
        stream_pieces(&context, &options, &handler, |options| session.send_with("GET", url, options))
    }

    /// The cookies of the session, by name. You can remove them. You can set them if the session has a `base_url`: they belong to its host.
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
        let cookies = parse_cookies(value(&cookies.into())?);
        session.set_cookies(cookies.map_err(|why| invalid_argument(format!("cookies: {why}")))?)
    }
}
