//! The answer of a server.

use std::sync::{Arc, OnceLock};

use rhai::plugin::*;

use crate::functions::arguments::invalid_argument;

use crate::functions::data::json;
use crate::functions::http::Headers;
use crate::functions::http::body::Body;
use crate::functions::http::fault::{shown_url, with};
use crate::functions::http::stream::{Format, Pieces};
use crate::functions::{Thrown, thrown};
use crate::services::http::{HttpResponse, ResponseBody, charset, links};
use crate::value::{Map, Value, map_of};

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Response>("Response");
    combine_with_exported_module!(module, "response", functions);
}

/// The answer of a server.
#[derive(Debug, Clone)]
pub struct Response {
    pub(super) answer: Arc<HttpResponse>,
    pub(super) body: Arc<Body>,
    /// What the script says instead of what was found.
    encoding: Option<String>,
    text: Arc<OnceLock<ImmutableString>>,
}

impl Response {
    /// A response whose body is there.
    pub(super) fn whole(answer: HttpResponse) -> Self {
        let body = Body::whole(answer.body.clone());
        Self { answer: Arc::new(answer), body: Arc::new(body), encoding: None, text: Arc::default() }
    }

    /// A response whose body is on its way; no more than `limit` bytes of it are held at once.
    pub(super) fn coming(answer: HttpResponse, incoming: ResponseBody, limit: u64) -> Self {
        Self { body: Arc::new(Body::coming(incoming, limit)), ..Self::whole(answer) }
    }

    /// Returns what a webhook passes on of it: the status, what the body is, and the body. One that has not been read is not passed on.
    pub fn to_data(&self) -> Map {
        let Some(body) = self.body.here() else {
            let why = "the body of the response was not read: leave out `stream`, or return its `text`";
            return map_of([("status".to_owned(), 500.into()), ("body".to_owned(), why.into())]);
        };
        // As text where that is the same, so that `rhaid fire` shows it.
        let body = match std::str::from_utf8(&body) {
            Ok("") => Value::Null,
            Ok(text) => text.into(),
            Err(_) => Value::Bytes(body.to_vec()),
        };
        let mut data = map_of([("status".to_owned(), i64::from(self.answer.status).into()), ("body".to_owned(), body)]);
        if let Some(kind) = self.answer.header("content-type").next() {
            data.insert("headers".into(), map_of([("content-type".to_owned(), kind.into())]).into());
        }
        data
    }

    fn encoding(&self) -> Result<String, Thrown> {
        if let Some(encoding) = &self.encoding {
            return Ok(encoding.clone());
        }
        Ok(charset::detect(self.answer.header("content-type").next(), &self.body.all(&self.answer)?))
    }

    /// Returns the encoding of a body that has yet to come.
    pub(super) fn stream_encoding(&self) -> String {
        let found = || charset::detect(self.answer.header("content-type").next(), b"");
        self.encoding.clone().unwrap_or_else(found)
    }

    fn text(&self) -> Result<ImmutableString, Thrown> {
        if let Some(text) = self.text.get() {
            return Ok(text.clone());
        }
        let body = self.body.all(&self.answer)?;
        let text = charset::decode(&body, &self.encoding()?).unwrap_or_default().into();
        Ok(self.text.get_or_init(|| text).clone())
    }

    /// Returns the body, to be gone through.
    pub(super) fn pieces(&self, format: Format) -> Pieces {
        Pieces { response: self.clone(), format, most: usize::MAX }
    }

    /// Returns what is thrown where JSON is wanted and there is no body.
    fn no_json(&self) -> Thrown {
        let why = match &self.answer.saved {
            Some(_) => "the body is in a file: write `parse_json(read_file(r.saved_to))`",
            None => "the body is empty, which is no JSON: look at `r.status_code` or `r.content` before",
        };
        thrown("decode", why)
    }

    fn cookies(&self) -> rhai::Map {
        let pair = |set: &str| {
            let (name, value) = set.split(';').next()?.split_once('=')?;
            Some((name.trim().into(), value.trim().to_owned().into()))
        };
        map_of(self.answer.header("set-cookie").filter_map(pair))
    }

    fn links(&self) -> rhai::Map {
        let mut found = rhai::Map::new();
        for link in self.answer.header("link").flat_map(links::parse) {
            let url = self.answer.url.join(&link.url).map_or_else(|_| link.url.clone(), String::from);
            let mut map: rhai::Map =
                map_of(link.parameters.into_iter().map(|(name, value)| (name.into(), value.into())));
            let name = map.get("rel").map_or_else(|| url.clone(), ToString::to_string);
            map.insert("url".into(), url.into());
            found.insert(name.into(), map.into());
        }
        found
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the macro wants public functions, and unwraps receivers that it has checked"
)]
mod functions {
    /// The status, such as 200.
    #[rhai_fn(get = "status_code", pure)]
    pub fn status_code(response: &mut Response) -> i64 {
        response.answer.status.into()
    }

    /// Whether the status is below 400.
    #[rhai_fn(get = "ok", pure)]
    pub fn ok(response: &mut Response) -> bool {
        response.answer.status < 400
    }

    /// What the status stands for, such as `OK` or `Not Found`.
    #[rhai_fn(get = "reason", pure)]
    pub fn reason(response: &mut Response) -> ImmutableString {
        response.answer.reason.as_str().into()
    }

    /// The headers, found by name in any case.
    #[rhai_fn(get = "headers", pure)]
    pub fn headers(response: &mut Response) -> Headers {
        Headers(response.answer.clone())
    }

    /// The name of the encoding of `text`, in lower case, such as `utf-8`: from a mark, the headers, a declaration or the bytes. Can be set.
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

    /// Says in which encoding `text` is to be read.
    #[rhai_fn(set = "encoding", return_raw)]
    pub fn set_encoding(response: &mut Response, name: &str) -> Result<(), Thrown> {
        if charset::decode(b"", name).is_none() {
            let shown: String = name.chars().take(80).collect();
            return Err(invalid_argument(format!(
                "{shown:?} is no encoding: write a name such as \"utf-8\" or \"gbk\""
            )));
        }
        response.encoding = Some(name.to_owned());
        response.text = Arc::default();
        Ok(())
    }

    /// The body as text.
    #[rhai_fn(get = "text", pure, return_raw)]
    pub fn text(response: &mut Response) -> Result<ImmutableString, Thrown> {
        response.text()
    }

    /// The body as a blob, decompressed.
    #[rhai_fn(get = "content", pure, return_raw)]
    pub fn content(response: &mut Response) -> Result<rhai::Blob, Thrown> {
        response.body.all(&response.answer).map(|body| body.to_vec())
    }

    /// Reads the body as JSON. A fault (`decode`) says where it goes wrong.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(http_get("http://example.test/get").json().method, "GET");
    /// ```
    #[rhai_fn(name = "json", pure, return_raw)]
    pub fn json_of(response: &mut Response) -> Result<Dynamic, Thrown> {
        let body = response.body.all(&response.answer)?;
        let read = match std::str::from_utf8(&body) {
            Ok("") => Err(response.no_json()),
            Ok(_) => json(&body),
            Err(_) => json(response.text()?.as_bytes()),
        };
        read.map_err(|thrown| {
            let (url, status) = (shown_url(&response.answer.url), i64::from(response.answer.status));
            let response = Dynamic::from(response.clone());
            with(thrown, [("url", url.into()), ("status", status.into()), ("response", response)])
        })
    }

    /// Where the answer came from, after redirects, without credentials.
    #[rhai_fn(get = "url", pure)]
    pub fn url(response: &mut Response) -> ImmutableString {
        response.answer.url.as_str().into()
    }

    /// Seconds from sending the request to the end of the headers: a number already, such as 0.25, without `total_seconds()`.
    ///
    /// # Example
    /// ```rhai
    /// assert(http_get("http://example.test/get").elapsed < 60.0);
    /// ```
    #[rhai_fn(get = "elapsed", pure)]
    pub fn elapsed(response: &mut Response) -> f64 {
        response.answer.elapsed.as_secs_f64()
    }

    /// The cookies that this answer set, by name.
    #[rhai_fn(get = "cookies", pure)]
    pub fn cookies(response: &mut Response) -> rhai::Map {
        response.cookies()
    }

    /// The answers that redirected here, oldest first.
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
        response.answer.history.iter().map(|answer| Dynamic::from(Response::whole(answer.clone()))).collect()
    }

    /// The links of the `Link` header by their `rel`, each a map with `url`.
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

    /// Whether the answer sends on to another URL.
    #[rhai_fn(get = "is_redirect", pure)]
    pub fn is_redirect(response: &mut Response) -> bool {
        matches!(response.answer.status, 301 | 302 | 303 | 307 | 308)
            && response.answer.header("location").next().is_some()
    }

    /// Whether the answer sends on to another URL for good: 301 and 308.
    #[rhai_fn(get = "is_permanent_redirect", pure)]
    pub fn is_permanent_redirect(response: &mut Response) -> bool {
        is_redirect(response) && matches!(response.answer.status, 301 | 308)
    }

    /// What the bytes of the body look like, whatever the headers say: the name of an encoding.
    #[rhai_fn(get = "apparent_encoding", pure, return_raw)]
    pub fn apparent_encoding(response: &mut Response) -> Result<String, Thrown> {
        Ok(charset::detect(None, &response.body.all(&response.answer)?))
    }

    /// The version of HTTP that was spoken, such as `HTTP/1.1` or `HTTP/2.0`.
    #[rhai_fn(get = "http_version", pure)]
    pub fn http_version(response: &mut Response) -> ImmutableString {
        response.answer.version.as_str().into()
    }

    /// What was asked: a map with `method`, `url` and `headers`, also those that no script wrote, such as `host`, `accept` and
    /// `user-agent` (but not what says how the bytes go, such as `content-length`). Credentials are shown as `***`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get", #{ auth: ["ann", "secret"] });
    /// assert_eq(r.request.method, "GET");
    /// assert_eq(r.request.headers.authorization, "***");
    /// ```
    #[rhai_fn(get = "request", pure)]
    pub fn request(response: &mut Response) -> rhai::Map {
        let asked = &response.answer.request;
        let headers: rhai::Map =
            map_of(asked.headers.iter().map(|(name, value)| (name.as_str().into(), value.clone().into())));
        let mut map = rhai::Map::new();
        map.insert("method".into(), asked.method.clone().into());
        map.insert("url".into(), response.answer.url.as_str().into());
        map.insert("headers".into(), headers.into());
        map
    }

    /// The file that holds the body, for a call with `save_to`; else `()`.
    #[rhai_fn(get = "saved_to", pure)]
    pub fn saved_to(response: &mut Response) -> Dynamic {
        response.answer.saved.as_ref().map_or(Dynamic::UNIT, |path| path.to_string_lossy().into_owned().into())
    }

    /// The lines of the body, for a `for` loop. With `stream: true` each is read when its turn comes: the server has to wait
    /// while the script works. `for line in r` is the same.
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
        response.pieces(Format::Lines)
    }

    /// The server-sent events of the body, for a `for` loop: maps with `event`, `data`, `id`, and `retry` if the server says so.
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
        response.pieces(Format::Events)
    }

    /// The body in blobs, for a `for` loop: with `stream: true` as they come, so that a large one never is in memory as a whole.
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
        response.pieces(Format::Bytes)
    }

    /// The same, in blobs of no more than so many bytes.
    #[rhai_fn(name = "iter", name = "iter_content", pure, return_raw)]
    pub fn iter_sized(response: &mut Response, size: i64) -> Result<Pieces, Thrown> {
        let size = usize::try_from(size).ok().filter(|size| *size > 0);
        let most = size.ok_or_else(|| invalid_argument("a blob has at least 1 byte"))?;
        Ok(Pieces { most, ..response.pieces(Format::Bytes) })
    }

    /// Closes the connection of a call with `stream: true` whose body is not wanted any more; the end of the run does so, too.
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

    /// Throws a fault (`status`, with `status`, `url` and `response`) if the status is 400 or more; else returns the response itself.
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
        let (status, reason) = (response.answer.status, &response.answer.reason);
        if status < 400 {
            return Ok(response.clone());
        }
        let url = shown_url(&response.answer.url);
        let error = thrown("status", format!("{status} {reason} from {url}"));
        let response = Dynamic::from(response.clone());
        Err(with(error, [("status", i64::from(status).into()), ("url", url.into()), ("response", response)]))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(response: &mut Response) -> String {
        format!("<Response [{}]>", response.answer.status)
    }
}
