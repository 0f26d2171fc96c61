//! A received webhook request, and the payload of the event that it causes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Method};

use crate::value::{Map, Value, map_of};

/// An authenticated request with its whole body, without its token.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedRequest {
    /// The method.
    pub method: Method,
    /// The path below `/hooks/`, decoded.
    pub path: String,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
    /// The query, decoded; a repeated name keeps all its values.
    pub query: Vec<(String, String)>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The peer's address.
    pub remote: IpAddr,
}

impl ReceivedRequest {
    /// Creates a request from this machine with a method and a path, and nothing else.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            params: BTreeMap::new(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            remote: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Returns the body as text; invalid UTF-8 is replaced by `�`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns the values of each name in the query.
    pub fn query_values(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut values = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in &self.query {
            values.entry(name.as_str()).or_default().push(value.as_str());
        }
        values
    }

    /// Returns the names of the header fields, in lower case, and their values; those of a repeated field are joined.
    ///
    /// Source: RFC 9110, 5.3; for `cookie` RFC 6265, 5.4.
    pub fn header_values(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let text = |value| String::from_utf8_lossy(HeaderValue::as_bytes(value));
        self.headers.keys().map(move |name| {
            let divider = if name == COOKIE { "; " } else { ", " };
            let mut values = self.headers.get_all(name).iter().map(text);
            let first = values.next().unwrap_or_default();
            (name.as_str(), values.fold(first, |joined, value| format!("{joined}{divider}{value}").into()))
        })
    }

    fn fields(&self) -> Map {
        let params = self.params.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        let query = self.query_values().into_iter().map(|(name, values)| (name.to_owned(), one_or_list(&values)));
        let headers = self.header_values().map(|(name, value)| (name.to_owned(), value.into_owned().into()));
        map_of([
            ("method".into(), self.method.as_str().into()),
            ("path".into(), self.path.as_str().into()),
            ("params".into(), Value::Map(map_of(params))),
            ("query".into(), Value::Map(map_of(query))),
            ("headers".into(), Value::Map(map_of(headers))),
            ("text".into(), self.text().into_owned().into()),
            ("bytes".into(), self.body.to_vec().into()),
            ("remote".into(), self.remote.to_string().into()),
        ])
    }
}

/// Returns the value of a name, or the list of its values if it was repeated.
fn one_or_list(values: &[&str]) -> Value {
    match values {
        [one] => (*one).into(),
        several => Value::List(several.iter().map(|&value| value.into()).collect()),
    }
}

/// Payload of an event of `webhook`: the request, and the fields that are built on first use.
#[derive(Debug)]
pub struct RequestPayload {
    /// The request.
    pub request: ReceivedRequest,
    fields: OnceLock<Map>,
}

impl RequestPayload {
    /// Creates a payload whose fields are built on first use.
    pub fn new(request: ReceivedRequest) -> Self {
        Self { request, fields: OnceLock::new() }
    }

    /// Returns all fields of the handler's argument.
    pub fn fields(&self) -> &Map {
        self.fields.get_or_init(|| self.request.fields())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_keep_all_their_values() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", "a"), ("accept", "b"), ("cookie", "x=1"), ("cookie", "y=2")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let query = pairs(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]);
        let request = ReceivedRequest { query, headers, ..ReceivedRequest::new(Method::GET, "door") };
        let payload = RequestPayload::new(request);
        assert_eq!(payload.fields()["query"].to_json().to_string(), r#"{"a":["1","3","4"],"b":"2"}"#);
        assert_eq!(payload.fields()["headers"].to_json().to_string(), r#"{"accept":"a, b","cookie":"x=1; y=2"}"#);
    }
}
