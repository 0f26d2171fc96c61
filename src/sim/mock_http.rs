//! Mock HTTP servers of a sandbox: responses from a test or from a recording.

use std::sync::Arc;
use std::time::Duration;

use globset::GlobMatcher;
use parking_lot::{Mutex, MutexGuard};

use crate::functions::testing::{MockResponse, url_matcher};
use crate::memory;
use crate::secrets::Mask;
use crate::services::clock::Clock;
use crate::services::http::{Error, MockRequest, MockTransport, Reply};
use crate::value::{Map, Value, map_of};

/// Keys that make a map a response; a map without them is the JSON body.
const PARTS: &[&str] = &["status", "headers", "json", "body"];

/// Mock responses, and the requests that were received.
pub(super) struct MockResponses {
    clock: Clock,
    hint: UnmatchedHint,
    rules: Mutex<Vec<MockRule>>,
    requests: Mutex<Vec<Map>>,
}

/// The advice in the error of a request that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnmatchedHint {
    /// Add `on_http` to the test.
    OnHttp,
    /// Record responses.
    Record,
}

/// A response for the requests with a method and a URL.
struct MockRule {
    method: String,
    url: UrlPattern,
    answer: Arc<MockResponse>,
}

/// The URLs that a rule matches.
enum UrlPattern {
    Glob(GlobMatcher),
    /// One URL, compared after its secrets are masked.
    Recorded(String, Mask),
}

impl MockResponses {
    pub(super) fn new(clock: Clock, hint: UnmatchedHint) -> Self {
        Self { clock, hint, rules: Mutex::default(), requests: Mutex::default() }
    }

    /// Adds a response for a method and a URL pattern. Later rules take precedence.
    ///
    /// # Errors
    /// If the pattern is no glob, or there is no error of that kind.
    pub(super) fn add(&self, method: &str, url: &str, answer: MockResponse) -> Result<(), String> {
        if let MockResponse::Error(kind) = &answer
            && error_by_kind(kind).is_none()
        {
            return Err(format!(
                "there is no error kind {kind:?}: write one of timeout, timeout.connect, timeout.read, connect, tls, proxy, too_many_redirects, decode"
            ));
        }
        self.add_rule(method, UrlPattern::Glob(url_matcher(url)?), answer);
        Ok(())
    }

    /// Adds a recorded response.
    pub(super) fn add_recorded(&self, method: &str, url: &str, reply: Reply, mask: &Mask) -> Result<(), String> {
        let headers = map_of(reply.headers.into_iter().map(|(name, value)| (name, value.into())));
        let answer = map_of([
            ("status".into(), i64::from(reply.status).into()),
            ("headers".into(), headers.into()),
            ("body".into(), reply.body.to_vec().into()),
        ]);
        self.add_rule(method, UrlPattern::Recorded(url.to_owned(), mask.clone()), MockResponse::Value(answer.into()));
        Ok(())
    }

    fn add_rule(&self, method: &str, url: UrlPattern, answer: MockResponse) {
        let rule = MockRule { method: method.to_uppercase(), url, answer: Arc::new(answer) };
        self.rules.lock().push(rule);
    }

    /// Returns the received requests, oldest first.
    pub(super) fn requests(&self) -> MutexGuard<'_, Vec<Map>> {
        self.requests.lock()
    }

    fn unmatched(&self, request: &MockRequest) -> String {
        let MockRequest { method, url, .. } = request;
        let hint = match self.hint {
            UnmatchedHint::OnHttp => format!("add `on_http({method:?}, {url:?}, …)`"),
            UnmatchedHint::Record => {
                "record responses with `rhaid record --http` and replay them with `--events`".to_owned()
            }
        };
        format!("no mock response matches {method} {url}: {hint}")
    }

    fn find(&self, request: &MockRequest) -> Option<Arc<MockResponse>> {
        let rules = self.rules.lock();
        let fits =
            |rule: &&MockRule| (rule.method == "*" || rule.method == request.method) && rule.url.matches(&request.url);
        rules.iter().rev().find(fits).map(|rule| rule.answer.clone())
    }
}

impl UrlPattern {
    fn matches(&self, requested: &str) -> bool {
        match self {
            Self::Glob(pattern) => pattern.is_match(requested),
            Self::Recorded(url, mask) => {
                url == requested || url::Url::parse(requested).is_ok_and(|parsed| mask.redact_url(&parsed) == *url)
            }
        }
    }
}

impl MockTransport for MockResponses {
    fn respond(&self, request: &MockRequest) -> Result<Reply, Error> {
        let mut record = request_map(request);
        let reply = match self.find(request).as_deref() {
            None => Err(Error::Connect(self.unmatched(request))),
            Some(MockResponse::Value(value)) => reply(value),
            Some(MockResponse::Function(answer)) => answer(record.clone())
                .and_then(|value| reply(&value).map_err(|error| error.to_string()))
                .map_err(|why| Error::Connect(format!("on_http: {why}"))),
            Some(MockResponse::Error(kind)) => Err(error_by_kind(kind).unwrap_or(Error::Connect(kind.clone()))),
        };
        let status = reply.as_ref().map_or(Value::Null, |reply| i64::from(reply.status).into());
        record.insert("status".into(), status);
        record.insert("time".into(), Value::Time(self.clock.now().to_zoned(self.clock.zone())));
        memory::uncounted(|| self.requests().push(record));
        reply
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Returns a request as `requests()` returns it to a test.
fn request_map(request: &MockRequest) -> Map {
    let headers = map_of(request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
    let query = url::Url::parse(&request.url)
        .map(|url| map_of(url.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))));
    map_of([
        ("method".into(), request.method.as_str().into()),
        ("url".into(), request.url.as_str().into()),
        ("headers".into(), headers.into()),
        ("query".into(), query.unwrap_or_default().into()),
        ("text".into(), String::from_utf8_lossy(&request.body).into_owned().into()),
    ])
}

/// Converts the value that a test gave into a response.
fn reply(value: &Value) -> Result<Reply, Error> {
    let json = |value: &Value| ("application/json".to_owned(), value.to_json_text().into_bytes());
    let plain = |text: &str| ("text/plain; charset=utf-8".to_owned(), text.as_bytes().to_vec());
    let content = |value: &Value| match value {
        Value::Null => (String::new(), Vec::new()),
        Value::Text(text) => plain(text),
        Value::Bytes(bytes) => ("application/octet-stream".to_owned(), bytes.clone()),
        other => json(other),
    };
    let (status, given, (kind, body)) = match value {
        Value::Map(map) if map.keys().any(|key| PARTS.contains(&key.as_str())) => {
            let status = match map.get("status") {
                None => 200,
                Some(Value::Int(status @ 100..=999)) => *status as u16,
                Some(other) => {
                    return Err(Error::Connect(format!(
                        "status: write a number from 100 to 999, not {}",
                        other.preview(40)
                    )));
                }
            };
            let given = match map.get("headers") {
                Some(Value::Map(headers)) => headers.clone(),
                _ => Map::new(),
            };
            let body = match (map.get("json"), map.get("body")) {
                (Some(value), _) => json(value),
                (None, Some(value)) => content(value),
                (None, None) => content(&Value::Null),
            };
            (status, given, body)
        }
        other => (200, Map::new(), content(other)),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in &given {
        let values = match value {
            Value::List(values) => values.clone(),
            one => vec![one.clone()],
        };
        headers.extend(values.iter().map(|value| (name.to_lowercase(), text(value))));
    }
    if !kind.is_empty() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), kind));
    }
    Ok(Reply { status, headers, body: body.into() })
}

fn text(value: &Value) -> String {
    value.as_text().map_or_else(|| value.to_json_text(), str::to_owned)
}

/// Returns the error with this `err.kind`, if there is one.
fn error_by_kind(kind: &str) -> Option<Error> {
    let why = || format!("error set by the test: {kind}");
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
