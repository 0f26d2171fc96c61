//! Properties and methods of responses.

use rhai::plugin::*;

use crate::functions::http::headers::Headers;
use crate::functions::http::response::Response;
use crate::functions::http::shown_url::shown_url;
use crate::functions::http::stream::{Format, Pieces};
use crate::functions::thrown::{Thrown, invalid_argument, thrown};
use crate::services::http::charset;
use crate::value::map_of;

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Response>("Response");
    combine_with_exported_module!(module, "response", functions);
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// The status code, such as 200.
    #[rhai_fn(get = "status_code", pure)]
    pub fn status_code(response: &mut Response) -> i64 {
        response.inner.status.into()
    }

    /// Whether the status code is below 400.
    #[rhai_fn(get = "ok", pure)]
    pub fn ok(response: &mut Response) -> bool {
        response.inner.status < 400
    }

    /// The reason phrase of the status, such as `OK` or `Not Found`.
    #[rhai_fn(get = "reason", pure)]
    pub fn reason(response: &mut Response) -> ImmutableString {
        response.inner.reason.as_str().into()
    }

    /// The headers. Names are case-insensitive.
    #[rhai_fn(get = "headers", pure)]
    pub fn headers(response: &mut Response) -> Headers {
        Headers(response.inner.clone())
    }

    /// The encoding of `text`, in lower case, such as `utf-8`. It is detected from a byte order mark, the headers, a declaration in the
    /// body or the bytes. You can assign another one.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get");
    /// assert_eq(r.encoding, "utf-8");
    /// r.encoding = "latin1";
    /// ```
    #[rhai_fn(get = "encoding", pure, return_raw)]
    pub fn encoding(response: &mut Response) -> Result<String, Thrown> {
        response.encoding()
    }

    /// Sets the encoding of `text`.
    #[rhai_fn(set = "encoding", return_raw)]
    pub fn set_encoding(response: &mut Response, name: &str) -> Result<(), Thrown> {
        response.set_encoding(name)
    }

    /// The body as text.
    #[rhai_fn(get = "text", pure, return_raw)]
    pub fn text(response: &mut Response) -> Result<ImmutableString, Thrown> {
        response.text()
    }

    /// The body as a blob, decompressed.
    #[rhai_fn(get = "content", pure, return_raw)]
    pub fn content(response: &mut Response) -> Result<rhai::Blob, Thrown> {
        response.content().map(|body| body.to_vec())
    }

    /// Parses the body as JSON. If it is invalid, throws `decode` with the position of the error.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(http_get("http://example.test/get").json().method, "GET");
    /// ```
    #[rhai_fn(name = "json", pure, return_raw)]
    pub fn json_of(response: &mut Response) -> Result<Dynamic, Thrown> {
        response.json()
    }

    /// The URL of the response, after redirects, without credentials.
    #[rhai_fn(get = "url", pure)]
    pub fn url(response: &mut Response) -> ImmutableString {
        response.inner.url.as_str().into()
    }

    /// The time from sending the request to the end of the response headers, in seconds, such as 0.25. This is a plain number: unlike in
    /// Python there is no `total_seconds()`.
    ///
    /// # Example
    /// ```rhai
    /// assert(http_get("http://example.test/get").elapsed < 60.0);
    /// ```
    #[rhai_fn(get = "elapsed", pure)]
    pub fn elapsed(response: &mut Response) -> f64 {
        response.inner.elapsed.as_secs_f64()
    }

    /// The cookies that this response sets, by name.
    #[rhai_fn(get = "cookies", pure)]
    pub fn cookies(response: &mut Response) -> rhai::Map {
        response.cookies()
    }

    /// The redirect responses that led to this one, oldest first.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/redirect/2");
    /// assert_eq(r.history.len(), 2);
    /// assert_eq(r.history[0].status_code, 302);
    /// assert(r.url.ends_with("/get"));
    /// ```
    #[rhai_fn(get = "history", pure)]
    pub fn history(response: &mut Response) -> rhai::Array {
        response.inner.history.iter().map(|response| Dynamic::from(Response::buffered(response.clone()))).collect()
    }

    /// The links of the `Link` header by their `rel`. Each is a map with `url`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/pages");
    /// assert(r.links.next.url.ends_with("/pages?page=2"));
    /// ```
    #[rhai_fn(get = "links", pure)]
    pub fn links(response: &mut Response) -> rhai::Map {
        response.links()
    }

    /// Whether the response is a redirect.
    #[rhai_fn(get = "is_redirect", pure)]
    pub fn is_redirect(response: &mut Response) -> bool {
        matches!(response.inner.status, 301 | 302 | 303 | 307 | 308)
            && response.inner.header("location").next().is_some()
    }

    /// Whether the response is a permanent redirect (301 or 308).
    #[rhai_fn(get = "is_permanent_redirect", pure)]
    pub fn is_permanent_redirect(response: &mut Response) -> bool {
        is_redirect(response) && matches!(response.inner.status, 301 | 308)
    }

    /// The encoding detected from the bytes of the body alone, regardless of the headers.
    #[rhai_fn(get = "apparent_encoding", pure, return_raw)]
    pub fn apparent_encoding(response: &mut Response) -> Result<String, Thrown> {
        Ok(charset::detect(None, &response.content()?))
    }

    /// The HTTP version, such as `HTTP/1.1` or `HTTP/2.0`.
    #[rhai_fn(get = "http_version", pure)]
    pub fn http_version(response: &mut Response) -> ImmutableString {
        response.inner.version.as_str().into()
    }

    /// The request that led to this response: a map with `method`, `url` and `headers`. The headers include those that rhaid adds, such
    /// as `host`, `accept` and `user-agent`, but not framing headers such as `content-length`. Credentials are shown as `***`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get", #{ auth: ["ann", "secret"] });
    /// assert_eq(r.request.method, "GET");
    /// assert_eq(r.request.headers.authorization, "***");
    /// ```
    #[rhai_fn(get = "request", pure)]
    pub fn request(response: &mut Response) -> rhai::Map {
        let request = &response.inner.request;
        let headers: rhai::Map =
            map_of(request.headers.iter().map(|(name, value)| (name.as_str().into(), value.clone().into())));
        let mut map = rhai::Map::new();
        map.insert("method".into(), request.method.clone().into());
        map.insert("url".into(), response.inner.url.as_str().into());
        map.insert("headers".into(), headers.into());
        map
    }

    /// The path of the file with the body, if you used `save_to`; otherwise `()`.
    #[rhai_fn(get = "saved_to", pure)]
    pub fn saved_to(response: &mut Response) -> Dynamic {
        response.inner.saved.as_ref().map_or(Dynamic::UNIT, |path| path.to_string_lossy().into_owned().into())
    }

    /// Returns the lines of the body, for a `for` loop. With `stream: true` each line is read when the loop needs it: the server waits
    /// while your script works. `for line in r` does the same.
    ///
    /// # Example
    /// ```rhai
    /// let sum = 0;
    /// for line in http_get("http://example.test/lines/3", #{ stream: true }).lines() {
    ///     sum += parse_json(line).n;
    /// }
    /// assert_eq(sum, 6);
    /// ```
    #[rhai_fn(name = "lines", name = "iter_lines", pure)]
    pub fn lines(response: &mut Response) -> Pieces {
        Pieces::new(response, Format::Lines)
    }

    /// Returns the server-sent events of the body, for a `for` loop: maps with `event`, `data` and `id`, and `retry` if the server sends it.
    ///
    /// # Example
    /// ```rhai
    /// let found = [];
    /// for event in http_get("http://example.test/events", #{ stream: true }).events() {
    ///     found.push(`${event.event} ${event.data}`);
    ///     if event.id == "2" { break; }
    /// }
    /// assert_eq(found, ["door open", "message closed"]);
    /// ```
    #[rhai_fn(name = "events", pure)]
    pub fn events(response: &mut Response) -> Pieces {
        Pieces::new(response, Format::Events)
    }

    /// Returns the body in blobs, for a `for` loop. With `stream: true` the blobs are returned as they arrive, so that a large body is
    /// never completely in memory.
    ///
    /// # Example
    /// ```rhai
    /// let size = 0;
    /// for chunk in http_get("http://example.test/bytes/100000", #{ stream: true }).iter() {
    ///     size += chunk.len();
    /// }
    /// assert_eq(size, 100000);
    /// ```
    #[rhai_fn(name = "iter", name = "iter_content", pure)]
    pub fn iter(response: &mut Response) -> Pieces {
        Pieces::new(response, Format::Bytes)
    }

    /// With `size`, each blob has at most that many bytes.
    #[rhai_fn(name = "iter", name = "iter_content", pure, return_raw)]
    pub fn iter_sized(response: &mut Response, size: i64) -> Result<Pieces, Thrown> {
        let size = usize::try_from(size).ok().filter(|size| *size > 0);
        let max_size = size.ok_or_else(|| invalid_argument("the size of a blob must be at least 1"))?;
        Ok(Pieces::new(response, Format::Bytes).with_max_size(max_size))
    }

    /// Closes the connection of a request with `stream: true` when you do not need the rest of the body. The end of the run closes it too.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/lines/3", #{ stream: true });
    /// if r.headers["content-length"] == () { r.close(); }
    /// ```
    #[rhai_fn(name = "close", pure)]
    pub fn close(response: &mut Response) {
        response.body.close();
    }

    /// Throws `status` (with `status`, `url` and `response`) if the status code is 400 or higher; otherwise returns the response.
    ///
    /// # Example
    /// ```rhai
    /// let status = 0;
    /// try { http_get("http://example.test/status/404").raise_for_status(); } catch (err) { status = err.status; }
    /// assert_eq(status, 404);
    /// assert_eq(http_get("http://example.test/get").raise_for_status().json().method, "GET");
    /// ```
    #[rhai_fn(name = "raise_for_status", pure, return_raw)]
    pub fn raise_for_status(response: &mut Response) -> Result<Response, Thrown> {
        let (status, reason) = (response.inner.status, &response.inner.reason);
        if status < 400 {
            return Ok(response.clone());
        }
        let url = shown_url(&response.inner.url);
        Err(response.with_response(thrown("status", format!("{status} {reason} from {url}"))))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(response: &mut Response) -> String {
        format!("<Response [{}]>", response.inner.status)
    }
}
