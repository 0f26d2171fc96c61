//! A request as a script asks for it.

use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult};
use url::Url;

use crate::functions::arguments::{bytes, options, refused};
use crate::functions::{Context, Thrown, thrown};
use crate::options::Options;
use crate::services::http::{Body, Cookies, Credentials, Request};
use crate::value::{Map, Value, rfc3339};

/// How many redirects are followed unless the script says otherwise.
const REDIRECTS: i64 = 30;

/// How much of the answer a script may ask for.
const MAX_BODY: u64 = 256 << 20;

/// Names and texts, in order.
type Pairs = Vec<(String, String)>;

/// A request as a script asks for it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: String,
    url: String,
    params: Pairs,
    headers: Pairs,
    body: Option<Body>,
    credentials: Option<Credentials>,
    cookies: Pairs,
    /// The cookies of a session.
    pub(super) kept: Cookies,
    timeout: Option<Duration>,
    redirects: Option<usize>,
    max_body: Option<u64>,
}

/// Puts more fields into what a script catches.
pub(super) fn with<const N: usize>(mut thrown: Thrown, fields: [(&str, Dynamic); N]) -> Thrown {
    if let EvalAltResult::ErrorRuntime(value, _) = thrown.as_mut()
        && let Some(mut map) = value.write_lock::<rhai::Map>()
    {
        map.extend(fields.into_iter().map(|(name, field)| (name.into(), field)));
    }
    thrown
}

impl Call {
    /// A request without options.
    pub(super) fn new(method: &str, url: &str) -> Self {
        let method = method.to_ascii_uppercase();
        Self {
            redirects: (method != "HEAD").then_some(REDIRECTS as usize),
            method,
            url: url.to_owned(),
            params: Pairs::new(),
            headers: Pairs::new(),
            body: None,
            credentials: None,
            cookies: Pairs::new(),
            kept: Cookies::default(),
            timeout: None,
            max_body: None,
        }
    }

    /// A request with options.
    pub(super) fn read(method: &str, url: &str, written: &rhai::Map) -> Result<Self, Thrown> {
        Self::take(method, url, options(written)?)
    }

    pub(super) fn take(method: &str, url: &str, mut options: Options) -> Result<Self, Thrown> {
        let mut call = Self::new(method, url);
        call.fill(&mut options).map_err(refused)?;
        options.finish().map_err(refused)?;
        Ok(call)
    }

    fn fill(&mut self, options: &mut Options) -> Result<(), crate::options::OptionFault> {
        self.params = options.read("params", |value| pairs(value, true))?.unwrap_or_default();
        self.headers = options.read("headers", |value| pairs(value, false))?.unwrap_or_default();
        self.cookies = options.read("cookies", |value| pairs(value, false))?.unwrap_or_default();
        self.credentials = options.read("auth", credentials)?;
        self.timeout = options.duration("timeout")?;
        self.max_body = options.size("max_body")?.map(|size| size.min(MAX_BODY));
        let redirects = options.read("allow_redirects", |value| match value {
            Value::Bool(true) => Ok(Some(REDIRECTS as usize)),
            Value::Bool(false) => Ok(None),
            Value::Int(most @ 0..=100) => Ok(Some(most as usize)),
            _ => Err("write true, false or how many at most, up to 100".to_owned()),
        })?;
        self.redirects = redirects.unwrap_or(self.redirects);
        let json = options
            .take("json")
            .map(|value| Body { bytes: value.to_json().to_string().into(), content_type: Some("application/json") });
        let data = options.read("data", data)?;
        if json.is_some() && data.is_some() {
            return Err(crate::options::OptionFault::new(
                "`json` and `data` are two ways to say what is sent: write one",
            ));
        }
        self.body = json.or(data);
        Ok(())
    }

    /// Returns the request with the limits of the run.
    pub(super) fn request(self, context: &Context) -> Result<Request, Thrown> {
        let limits = &context.config.limits;
        let mut url = parsed(&self.url)?;
        if !self.params.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.params);
        }
        for (name, value) in &self.cookies {
            if format!("{name}{value}").contains(|c: char| c.is_control() || c == ';') {
                return Err(refused(format!("cookies: {name:?} has characters that cookies must not have")));
            }
            self.kept.put(name, value, &url);
        }
        let left = context.deadline.saturating_duration_since(Instant::now());
        Ok(Request {
            method: self.method,
            url,
            headers: self.headers,
            body: self.body,
            credentials: self.credentials,
            cookies: self.kept,
            timeout: self.timeout.unwrap_or(limits.http_timeout).min(left.saturating_add(Duration::from_secs(1))),
            connect_timeout: limits.http_connect_timeout,
            redirects: self.redirects,
            max_body: self.max_body.unwrap_or(limits.http_body),
        })
    }
}

/// Reads a URL; says what is most likely missing.
fn parsed(text: &str) -> Result<Url, Thrown> {
    let shown: String = text.chars().take(200).collect();
    let wrong = |why: String| with(thrown("invalid_url", why), [("url", shown.clone().into())]);
    let looks_bare = !text.contains("://");
    let url = match Url::parse(text) {
        Ok(url) if looks_bare && !matches!(url.scheme(), "http" | "https") => {
            return Err(wrong(format!("{shown:?} is no URL: did you mean \"http://{shown}\"?")));
        }
        Ok(url) => url,
        Err(_) if looks_bare && !text.is_empty() => {
            return Err(wrong(format!("{shown:?} is no URL: did you mean \"http://{shown}\"?")));
        }
        Err(why) => return Err(wrong(format!("{shown:?} is no URL: {why}"))),
    };
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(format!("{shown:?}: {other} is not spoken here: write http:// or https://"))),
    }
}

/// Returns a value as it stands in a query, a form or a header.
fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Int(_) | Value::Float(_) => Ok(String::from_utf8_lossy(&bytes(value)).into_owned()),
        Value::Time(time) => Ok(rfc3339(&time)),
        other => Err(format!("write text or a number, not {}", other.type_name())),
    }
}

/// Reads a map or a list of pairs; `()` leaves a name out, a list repeats it if that makes sense.
fn pairs(value: Value, repeat: bool) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut put = |name: String, value: Value| {
        match value {
            Value::Null => {}
            Value::List(items) if repeat => {
                for item in items {
                    pairs.push((name.clone(), text(item).map_err(|why| format!("{name}: {why}"))?));
                }
            }
            single => {
                let text = text(single).map_err(|why| format!("{name}: {why}"))?;
                pairs.push((name, text));
            }
        }
        Ok::<_, String>(())
    };
    let wrong = || "write a map, or pairs such as [[\"a\", 1], [\"b\", 2]]".to_owned();
    match value {
        Value::Map(map) => map.into_iter().try_for_each(|(name, value)| put(name, value))?,
        Value::List(items) => {
            for item in items {
                let Value::List(pair) = item else { return Err(wrong()) };
                let [name, value] = <[Value; 2]>::try_from(pair).map_err(|_| wrong())?;
                put(text(name)?, value)?;
            }
        }
        _ => return Err(wrong()),
    }
    Ok(pairs)
}

fn data(value: Value) -> Result<Body, String> {
    match value {
        Value::Map(_) | Value::List(_) => {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(value, true)?).finish();
            Ok(Body { bytes: form.into(), content_type: Some("application/x-www-form-urlencoded") })
        }
        Value::Text(_) | Value::Bytes(_) => Ok(Body { bytes: bytes(value).into(), content_type: None }),
        other => Err(format!("write a map (sent as a form), text or a blob, not {}", other.type_name())),
    }
}

fn credentials(value: Value) -> Result<Credentials, String> {
    let wrong = || "write [\"user\", \"password\"] or #{ bearer: \"token\" }".to_owned();
    match value {
        Value::List(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::Text(user), Value::Text(password)]) => Ok(Credentials::Basic(user, password)),
            _ => Err(wrong()),
        },
        Value::Map(map) => bearer(map).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn bearer(mut map: Map) -> Option<Credentials> {
    match (map.remove("bearer"), map.is_empty()) {
        (Some(Value::Text(token)), true) => Some(Credentials::Bearer(token)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_repeat_lists_and_leave_nothing_out_but_nothing() {
        let map = Map::from([
            ("a".into(), Value::List(vec![1.into(), 2.into()])),
            ("b".into(), Value::Null),
            ("c".into(), Value::Bool(true)),
        ]);
        let expected: Pairs = [("a", "1"), ("a", "2"), ("c", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(pairs(Value::Map(map), true), Ok(expected));
    }

    #[test]
    fn a_url_without_a_scheme_is_met_with_a_proposal() {
        let error = parsed("127.0.0.1:80/x").unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:80/x"), "{error}");
        let error = parsed("ftp://example.com").unwrap_err().to_string();
        assert!(error.contains("ftp is not spoken here"), "{error}");
    }
}
