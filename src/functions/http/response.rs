//! HTTP responses.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rhai::{Dynamic, ImmutableString};

use crate::functions::data::json;
use crate::functions::http::body::Body;
use crate::functions::http::shown_url::shown_url;
use crate::functions::thrown::{Thrown, denied, invalid_argument, thrown, with_fields};
use crate::services::http::{Error, Failure, HttpResponse, ResponseBody, charset, links};
use crate::value::{Map, Value, map_of};

/// HTTP response.
#[derive(Debug, Clone)]
pub struct Response {
    pub(super) inner: Arc<HttpResponse>,
    pub(super) body: Arc<Body>,
    /// Encoding set by the script, instead of the detected one.
    encoding: Option<String>,
    text: Arc<OnceLock<ImmutableString>>,
}

impl Response {
    /// Returns a response whose body is in memory.
    pub(super) fn buffered(response: HttpResponse) -> Self {
        let body = Body::buffered(response.body.clone());
        Self { inner: Arc::new(response), body: Arc::new(body), encoding: None, text: Arc::default() }
    }

    /// Returns a response whose body is received on demand; at most `limit` bytes are buffered.
    pub(super) fn streaming(response: HttpResponse, incoming: ResponseBody, limit: u64) -> Self {
        Self { body: Arc::new(Body::streaming(incoming, limit)), ..Self::buffered(response) }
    }

    /// Returns the status, content type and body, for a webhook that returns this response.
    ///
    /// An unread body of a `stream` call is replaced by an error with status 500.
    pub fn to_data(&self) -> Map {
        let Some(body) = self.body.in_memory() else {
            let why = "the body of the response was not read: remove `stream`, or return its `text`";
            return map_of([("status".to_owned(), 500.into()), ("body".to_owned(), why.into())]);
        };
        // Text if the bytes are UTF-8, so that `rhaid fire` prints it.
        let body = match std::str::from_utf8(&body) {
            Ok("") => Value::Null,
            Ok(text) => text.into(),
            Err(_) => Value::Bytes(body.to_vec()),
        };
        let mut data = map_of([("status".to_owned(), i64::from(self.inner.status).into()), ("body".to_owned(), body)]);
        if let Some(kind) = self.inner.header("content-type").next() {
            data.insert("headers".into(), map_of([("content-type".to_owned(), kind.into())]).into());
        }
        data
    }

    /// Returns the whole body; receives it first if necessary.
    pub(super) fn content(&self) -> Result<Bytes, Thrown> {
        self.body.all()?.map_err(|error| self.body_error(error))
    }

    /// Returns the error for a body that cannot be received.
    pub(super) fn body_error(&self, error: Error) -> Thrown {
        let response = Some(Box::new((*self.inner).clone()));
        request_error(&Failure { error, url: self.inner.url.clone(), response })
    }

    pub(super) fn encoding(&self) -> Result<String, Thrown> {
        if let Some(encoding) = &self.encoding {
            return Ok(encoding.clone());
        }
        Ok(charset::detect(self.inner.header("content-type").next(), &self.content()?))
    }

    pub(super) fn set_encoding(&mut self, name: &str) -> Result<(), Thrown> {
        if charset::decode(b"", name).is_none() {
            let shown: String = name.chars().take(80).collect();
            return Err(invalid_argument(format!(
                "{shown:?} is not a known encoding: write a name such as \"utf-8\" or \"gbk\""
            )));
        }
        self.encoding = Some(name.to_owned());
        self.text = Arc::default();
        Ok(())
    }

    /// Returns the encoding of a body that is not received yet.
    pub(super) fn stream_encoding(&self) -> String {
        let detected = || charset::detect(self.inner.header("content-type").next(), b"");
        self.encoding.clone().unwrap_or_else(detected)
    }

    pub(super) fn text(&self) -> Result<ImmutableString, Thrown> {
        if let Some(text) = self.text.get() {
            return Ok(text.clone());
        }
        let body = self.content()?;
        let text = charset::decode(&body, &self.encoding()?).unwrap_or_default().into();
        Ok(self.text.get_or_init(|| text).clone())
    }

    /// Parses the body as JSON.
    pub(super) fn json(&self) -> Result<Dynamic, Thrown> {
        let body = self.content()?;
        let parsed = match std::str::from_utf8(&body) {
            Ok("") => Err(self.no_json()),
            Ok(_) => json(&body),
            Err(_) => json(self.text()?.as_bytes()),
        };
        parsed.map_err(|error| self.with_response(error))
    }

    /// Returns the error for parsing an empty body as JSON.
    fn no_json(&self) -> Thrown {
        let why = match &self.inner.saved {
            Some(_) => "the body was saved to a file: write `parse_json(read_file(r.saved_to))`",
            None => "the body is empty, which is not JSON: check `r.status_code` or `r.content` first",
        };
        thrown("decode", why)
    }

    /// Adds the URL, the status and this response to an error.
    pub(super) fn with_response(&self, error: Thrown) -> Thrown {
        let (url, status) = (shown_url(&self.inner.url), i64::from(self.inner.status));
        with_fields(error, [("url", url.into()), ("status", status.into()), ("response", Dynamic::from(self.clone()))])
    }

    pub(super) fn cookies(&self) -> rhai::Map {
        let pair = |set: &str| {
            let (name, value) = set.split(';').next()?.split_once('=')?;
            Some((name.trim().into(), value.trim().to_owned().into()))
        };
        map_of(self.inner.header("set-cookie").filter_map(pair))
    }

    pub(super) fn links(&self) -> rhai::Map {
        let mut found = rhai::Map::new();
        for link in self.inner.header("link").flat_map(links::parse) {
            let url = self.inner.url.join(&link.url).map_or_else(|_| link.url.clone(), String::from);
            let mut map: rhai::Map =
                map_of(link.parameters.into_iter().map(|(name, value)| (name.into(), value.into())));
            let name = map.get("rel").map_or_else(|| url.clone(), ToString::to_string);
            map.insert("url".into(), url.into());
            found.insert(name.into(), map.into());
        }
        found
    }
}

/// Returns the error for a failed request, with its URL, and the response if one was received.
pub(super) fn request_error(failure: &Failure) -> Thrown {
    let shown = shown_url(&failure.url);
    let error = match &failure.error {
        Error::Denied(no) => denied(no),
        error => thrown(error.kind(), format!("{shown}: {error}")),
    };
    let error = match &failure.response {
        Some(response) => Response::buffered((**response).clone()).with_response(error),
        None => error,
    };
    with_fields(error, [("url", shown.into())])
}
