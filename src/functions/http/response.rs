//! The answer of a server.

use std::sync::{Arc, OnceLock};

use rhai::plugin::*;

use crate::functions::arguments::refused;
use crate::functions::data::json;
use crate::functions::http::{Headers, call, shown_url};
use crate::functions::{Thrown, thrown};
use crate::services::http::{Answer, charset, links};
use crate::value::{Map, Value};

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Response>("Response");
    combine_with_exported_module!(module, "response", functions);
}

/// The answer of a server.
#[derive(Debug, Clone)]
pub struct Response {
    answer: Arc<Answer>,
    /// What the script says instead of what was found.
    encoding: Option<String>,
    text: Arc<OnceLock<ImmutableString>>,
}

impl Response {
    pub(super) fn new(answer: Answer) -> Self {
        Self { answer: Arc::new(answer), encoding: None, text: Arc::default() }
    }

    /// Returns what a webhook passes on of it: the status, what the body is, and the body.
    pub fn to_data(&self) -> Map {
        let body = &self.answer.body;
        // As text where that is the same, so that `rhaid fire` shows it.
        let body = match std::str::from_utf8(body) {
            Ok("") => Value::Null,
            Ok(text) => text.into(),
            Err(_) => Value::Bytes(body.to_vec()),
        };
        let mut data =
            Map::from([("status".to_owned(), i64::from(self.answer.status).into()), ("body".to_owned(), body)]);
        if let Some(kind) = self.answer.header("content-type").next() {
            data.insert("headers".into(), Map::from([("content-type".to_owned(), kind.into())]).into());
        }
        data
    }

    fn encoding(&self) -> String {
        let found = || charset::detect(self.answer.header("content-type").next(), &self.answer.body);
        self.encoding.clone().unwrap_or_else(found)
    }

    fn text(&self) -> ImmutableString {
        let decoded = || charset::decode(&self.answer.body, &self.encoding()).unwrap_or_default().into();
        self.text.get_or_init(decoded).clone()
    }

    fn cookies(&self) -> rhai::Map {
        let pair = |set: &str| {
            let (name, value) = set.split(';').next()?.split_once('=')?;
            Some((name.trim().into(), value.trim().to_owned().into()))
        };
        self.answer.header("set-cookie").filter_map(pair).collect()
    }

    fn links(&self) -> rhai::Map {
        let mut found = rhai::Map::new();
        for link in self.answer.header("link").flat_map(links::parse) {
            let url = self.answer.url.join(&link.url).map_or_else(|_| link.url.clone(), String::from);
            let mut map: rhai::Map =
                link.parameters.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
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
        response.answer.reason.into()
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
    #[rhai_fn(get = "encoding", pure)]
    pub fn encoding(response: &mut Response) -> String {
        response.encoding()
    }

    /// Says in which encoding `text` is to be read.
    #[rhai_fn(set = "encoding", return_raw)]
    pub fn set_encoding(response: &mut Response, name: &str) -> Result<(), Thrown> {
        if charset::decode(b"", name).is_none() {
            let shown: String = name.chars().take(80).collect();
            return Err(refused(format!("{shown:?} is no encoding: write a name such as \"utf-8\" or \"gbk\"")));
        }
        response.encoding = Some(name.to_owned());
        response.text = Arc::default();
        Ok(())
    }

    /// The body as text.
    #[rhai_fn(get = "text", pure)]
    pub fn text(response: &mut Response) -> ImmutableString {
        response.text()
    }

    /// The body as a blob, decompressed.
    #[rhai_fn(get = "content", pure)]
    pub fn content(response: &mut Response) -> rhai::Blob {
        response.answer.body.to_vec()
    }

    /// Reads the body as JSON. A fault (`decode`) says where it goes wrong.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(http_get("http://example.test/get").json().method, "GET");
    /// ```
    #[rhai_fn(name = "json", pure, return_raw)]
    pub fn json_of(response: &mut Response) -> Result<Dynamic, Thrown> {
        let body = &response.answer.body;
        let read = if std::str::from_utf8(body).is_ok() { json(body) } else { json(response.text().as_bytes()) };
        read.map_err(|thrown| call::with(thrown, [("url", shown_url(&response.answer.url).into())]))
    }

    /// Where the answer came from, after redirects, without credentials.
    #[rhai_fn(get = "url", pure)]
    pub fn url(response: &mut Response) -> ImmutableString {
        response.answer.url.as_str().into()
    }

    /// Seconds from sending the request to the end of the headers.
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
        response.answer.history.iter().map(|answer| Dynamic::from(Response::new(answer.clone()))).collect()
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
        let (status, reason) = (response.answer.status, response.answer.reason);
        if status < 400 {
            return Ok(response.clone());
        }
        let url = shown_url(&response.answer.url);
        let error = thrown("status", format!("{status} {reason} from {url}"));
        let response = Dynamic::from(response.clone());
        Err(call::with(error, [("status", i64::from(status).into()), ("url", url.into()), ("response", response)]))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(response: &mut Response) -> String {
        format!("<Response [{}]>", response.answer.status)
    }
}
