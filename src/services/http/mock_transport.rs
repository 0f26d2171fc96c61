//! What answers requests in a held world, in place of the network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::COOKIE;

use crate::services::clock::Clock;
use crate::services::http::answer::plain;
use crate::services::http::redirect::Hop;
use crate::services::http::{Answer, Asked, Body, Content, Error, Guard, Http, Part, Request};

/// A request that wants an answer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where to.
    pub url: String,
    /// Names in lower case and values, credentials too.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What answers requests in a held world.
pub trait MockTransport: Send + Sync {
    /// Answers a request.
    ///
    /// # Errors
    /// What the script gets to see in place of an answer.
    fn answer(&self, wanted: &Wanted) -> Result<Reply, Error>;

    /// Returns the clock that pauses between tries are on.
    fn clock(&self) -> &Clock;
}

impl Http {
    /// Makes it ready for a held world.
    pub fn held(stage: Arc<dyn MockTransport>) -> Self {
        Self::with(Some(stage), None)
    }

    /// Waits before the next try.
    pub(super) async fn pause(&self, pause: Duration) {
        let Some(stage) = &self.stage else { return tokio::time::sleep(pause).await };
        let clock = stage.clock();
        clock.sleep_until(clock.now() + pause).await;
    }

    /// Makes one hop on the stage.
    pub(super) fn staged(
        &self,
        stage: &dyn MockTransport,
        hop: &Hop,
        request: &Request,
        guard: &dyn Guard,
    ) -> Result<(Answer, reqwest::Response), Error> {
        let host = hop.url.host_str().ok_or_else(|| Error::InvalidUrl(format!("{} names no host", hop.url)))?;
        guard.check_host(host, hop.url.port_or_known_default().unwrap_or(80)).map_err(Error::Denied)?;
        let mut headers = hop.headers.clone();
        if let Some(cookies) = request.cookies.header(&hop.url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        let asked = Asked::of(&hop.method, &hop.url, &headers);
        let (method, url) = (asked.method.clone(), hop.url.to_string());
        let body = hop.body.as_ref().map(sent).unwrap_or_default();
        let reply = stage.answer(&Wanted { method, url, headers: plain(&headers), body })?;
        let mut response = http::Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        let response = response.body(reply.body).map_err(|error| Error::Broken(format!("no such answer: {error}")))?;
        let response = reqwest::Response::from(response);
        let answer = Answer::begun(&response, &hop.url, &asked, Duration::ZERO);
        for cookies in [Some(&request.cookies), request.kept.as_ref()].into_iter().flatten() {
            cookies.take(response.headers(), &hop.url);
        }
        Ok((answer, response))
    }
}

/// Returns what is sent; a form with files as `name=content` lines, a file by its path.
fn sent(body: &Body) -> Bytes {
    let field = |part: &Part| match &part.content {
        Content::Bytes(bytes) => format!("{}={}\n", part.name, String::from_utf8_lossy(bytes)),
        Content::File(path) => format!("{}=@{}\n", part.name, path.display()),
    };
    match body {
        Body::Bytes(bytes, _) => bytes.clone(),
        Body::Multipart(parts) => parts.iter().map(field).collect::<String>().into(),
    }
}

/// Returns the error that scripts see as this kind, if there is one.
pub fn error_of(kind: &str) -> Option<Error> {
    let why = || format!("the test says so: {kind}");
    let limit = Duration::from_secs(30);
    Some(match kind {
        "timeout" => Error::Timeout(limit),
        "timeout.connect" => Error::ConnectTimeout(limit),
        "timeout.read" => Error::ReadTimeout(limit),
        "connect" => Error::Connect(why()),
        "tls" => Error::Tls(why()),
        "proxy" => Error::Proxy(why()),
        "too_many_redirects" => Error::TooManyRedirects(30),
        "decode" => Error::Decode(why()),
        _ => return None,
    })
}
