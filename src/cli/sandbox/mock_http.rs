//! What answers the requests of scripts in a held world.

use std::sync::Arc;

use globset::GlobMatcher;
use parking_lot::{Mutex, MutexGuard};

use crate::functions::testing::{MockResponse, url_matcher};
use crate::memory;
use crate::secrets::Mask;
use crate::services::clock::Clock;
use crate::services::http::{Error, MockRequest, MockTransport, Reply, error_by_kind};
use crate::value::{Map, Value, map_of};

/// The keys by which a map is an answer, and not data.
const PARTS: &[&str] = &["status", "headers", "json", "body"];

/// The answers there are, and what was asked.
pub(super) struct MockResponses {
    clock: Clock,
    /// Whether a test says what is answered, and not a recording.
    is_test: bool,
    rules: Mutex<Vec<MockRule>>,
    requests: Mutex<Vec<Map>>,
}

/// What answers which calls.
struct MockRule {
    method: String,
    url: UrlPattern,
    answer: Arc<MockResponse>,
}

/// Which URLs are meant.
enum UrlPattern {
    Glob(GlobMatcher),
    /// This one, once its secrets are hidden.
    Recorded(String, Mask),
}

impl MockResponses {
    pub(super) fn new(clock: Clock, is_test: bool) -> Self {
        Self { clock, is_test, rules: Mutex::default(), requests: Mutex::default() }
    }

    /// Answers requests of a method to URLs of a pattern, before those that were told earlier.
    pub(super) fn put(&self, method: &str, url: &str, answer: MockResponse) -> Result<(), String> {
        if let MockResponse::Error(kind) = &answer
            && error_by_kind(kind).is_none()
        {
            return Err(format!(
                "there is no {kind:?}: requests fail with timeout, timeout.connect, timeout.read, connect, tls, proxy, too_many_redirects or decode"
            ));
        }
        self.add(method, UrlPattern::Glob(url_matcher(url)?), answer);
        Ok(())
    }

    /// Answers a call as it was answered when that was written down.
    pub(super) fn record(&self, method: &str, url: &str, reply: Reply, mask: &Mask) -> Result<(), String> {
        let headers = map_of(reply.headers.into_iter().map(|(name, value)| (name, value.into())));
        let answer = map_of([
            ("status".into(), i64::from(reply.status).into()),
            ("headers".into(), headers.into()),
            ("body".into(), reply.body.to_vec().into()),
        ]);
        self.add(method, UrlPattern::Recorded(url.to_owned(), mask.clone()), MockResponse::Value(answer.into()));
        Ok(())
    }

    fn add(&self, method: &str, url: UrlPattern, answer: MockResponse) {
        let rule = MockRule { method: method.to_uppercase(), url, answer: Arc::new(answer) };
        self.rules.lock().push(rule);
    }

    /// Returns what was asked.
    pub(super) fn requests(&self) -> MutexGuard<'_, Vec<Map>> {
        self.requests.lock()
    }

    fn unanswered(&self, request: &MockRequest) -> String {
        let MockRequest { method, url, .. } = request;
        let hint = match self.is_test {
            true => format!("add `on_http({method:?}, {url:?}, …)`"),
            false => "`rhaid record --http` writes a file for `--events` with what servers answer".to_owned(),
        };
        format!("nothing answers {method} {url} in this world: {hint}")
    }

    fn find(&self, request: &MockRequest) -> Option<Arc<MockResponse>> {
        let rules = self.rules.lock();
        let fits =
            |rule: &&MockRule| (rule.method == "*" || rule.method == request.method) && rule.url.has(&request.url);
        rules.iter().rev().find(fits).map(|rule| rule.answer.clone())
    }
}

impl UrlPattern {
    fn has(&self, requested: &str) -> bool {
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
        let mut seen = seen(request);
        let reply = match self.find(request).as_deref() {
            None => Err(Error::Connect(self.unanswered(request))),
            Some(MockResponse::Value(value)) => reply(value),
            Some(MockResponse::Function(answer)) => answer(seen.clone())
                .and_then(|value| reply(&value).map_err(|error| error.to_string()))
                .map_err(|why| Error::Connect(format!("on_http: {why}"))),
            Some(MockResponse::Error(kind)) => Err(error_by_kind(kind).unwrap_or(Error::Connect(kind.clone()))),
        };
        let status = reply.as_ref().map_or(Value::Null, |reply| i64::from(reply.status).into());
        seen.insert("status".into(), status);
        seen.insert("time".into(), Value::Time(self.clock.now().to_zoned(self.clock.zone())));
        memory::uncounted(|| self.requests().push(seen));
        reply
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Returns a request as tests see it.
fn seen(request: &MockRequest) -> Map {
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

/// Returns the answer that is meant by what a test wrote.
fn reply(value: &Value) -> Result<Reply, Error> {
    let json = |value: &Value| ("application/json".to_owned(), value.to_json().to_string().into_bytes());
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
                Some(other) => return Err(Error::Connect(format!("status: {} is no status", other.preview(40)))),
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
    value.as_text().map_or_else(|| value.to_json().to_string(), str::to_owned)
}
