//! Event files of `rhaid record` and `rhaid simulate`: one JSON object per line.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Map as Object, Value as Json};

use crate::options::nearest;
use crate::services::http::Reply;
use crate::services::mqtt::Publish;
use crate::value::{Map, Value, map_of};

/// All keys of a line.
const KEYS: &[&str] = &[
    "time",
    "topic",
    "payload",
    "payload_base64",
    "qos",
    "retain",
    "broker",
    "request",
    "json",
    "body",
    "body_base64",
    "headers",
    "query",
    "file",
    "text",
    "event",
    "data",
    "http",
    "status",
];

/// A line of an event file.
pub struct EventLine {
    /// The virtual time at which the event occurs.
    pub time: Zoned,
    /// The event.
    pub event: InputEvent,
    /// File and line number.
    pub place: String,
}

/// An input of a simulation.
pub enum InputEvent {
    /// A message from another MQTT client.
    Message(Publish),
    /// A request to a webhook.
    Request {
        /// `GET`, `POST`, …
        method: String,
        /// The path, such as `/hooks/door`.
        path: String,
        /// Options of the request: `json`, `body`, `headers`, `query`.
        with: Map,
    },
    /// A file change.
    File {
        /// The file.
        path: String,
        /// The new text; `None` if the file is removed.
        text: Option<String>,
    },
    /// An event of a script.
    Event {
        /// Its name.
        name: String,
        /// Its data.
        data: Value,
    },
    /// The response of a server from this time on.
    Response {
        /// The method of the requests.
        method: String,
        /// The URL, with its secrets masked.
        url: String,
        /// The response.
        reply: Reply,
    },
}

impl InputEvent {
    /// Returns method, URL and response, if the event is a response.
    pub(super) fn response(&self) -> Option<(&str, &str, &Reply)> {
        match self {
            Self::Response { method, url, reply } => Some((method, url, reply)),
            _ => None,
        }
    }
}

/// Reads an event file and sorts it by time. The sort is stable.
///
/// # Errors
/// If the file cannot be read or a line is invalid; the message names the line.
pub fn read_events(file: &Path, zone: &TimeZone) -> Result<Vec<EventLine>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{}:{}", file.display(), number + 1);
        let (time, event) = parse(line).map_err(|why| format!("{place}: {why}"))?;
        lines.push(EventLine { time: time.to_zoned(zone.clone()), event, place });
    }
    lines.sort_by_key(|line| line.time.timestamp());
    Ok(lines)
}

fn parse(line: &str) -> Result<(Timestamp, InputEvent), String> {
    let object: Object<String, Json> =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let near = nearest(unknown, KEYS.iter().copied());
        let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        return Err(format!("unknown key `{unknown}`{hint}"));
    }
    let time =
        text(&object, "time")?.ok_or("the key `time` is missing: write a time such as \"2026-01-01T07:00:00Z\"")?;
    let time = time.parse::<Timestamp>().map_err(|error| format!("time: {error}"))?;
    Ok((time, input_event(&object)?))
}

fn input_event(object: &Object<String, Json>) -> Result<InputEvent, String> {
    if let Some(topic) = text(object, "topic")? {
        return message(object, topic).map(InputEvent::Message);
    }
    if let Some(request) = text(object, "request")? {
        let (method, path) = split(request, "request", "POST /hooks/door")?;
        let with = ["json", "body", "headers", "query"].into_iter();
        let with = map_of(with.filter_map(|key| Some((key.to_owned(), Value::from(object.get(key)?.clone())))));
        return Ok(InputEvent::Request { method, path, with });
    }
    if let Some(path) = text(object, "file")? {
        let text = text(object, "text")?.map(str::to_owned);
        return Ok(InputEvent::File { path: path.to_owned(), text });
    }
    if let Some(name) = text(object, "event")? {
        let data = object.get("data").cloned().map_or(Value::Null, Value::from);
        return Ok(InputEvent::Event { name: name.to_owned(), data });
    }
    if let Some(http) = text(object, "http")? {
        let (method, url) = split(http, "http", "GET https://api.example.com/weather")?;
        return Ok(InputEvent::Response { method, url, reply: reply(object)? });
    }
    Err("there is no event: write `topic`, `request`, `file`, `event` or `http`".to_owned())
}

fn message(object: &Object<String, Json>, topic: &str) -> Result<Publish, String> {
    let payload = match (object.get("payload"), text(object, "payload_base64")?) {
        (Some(Json::String(text)), _) => text.clone().into_bytes(),
        (Some(Json::Null) | None, None) => Vec::new(),
        (Some(other), _) => other.to_string().into_bytes(),
        (None, Some(coded)) => STANDARD.decode(coded).map_err(|error| format!("payload_base64: {error}"))?,
    };
    let qos = match object.get("qos").map(Json::as_u64) {
        None => 0,
        Some(Some(qos @ 0..=2)) => qos as u8,
        Some(_) => return Err("qos: write 0, 1 or 2".to_owned()),
    };
    let retain = match object.get("retain").map(Json::as_bool) {
        None => false,
        Some(Some(retain)) => retain,
        Some(None) => return Err("retain: write true or false".to_owned()),
    };
    let broker = text(object, "broker")?.map(str::to_owned);
    Ok(Publish { topic: topic.to_owned(), payload: payload.into(), qos, retain, broker, ..Publish::default() })
}

fn reply(object: &Object<String, Json>) -> Result<Reply, String> {
    let status = match object.get("status").map(Json::as_u64) {
        None => 200,
        Some(Some(status @ 100..=999)) => status as u16,
        Some(_) => return Err("status: write a number such as 200".to_owned()),
    };
    let body = match (object.get("body"), text(object, "body_base64")?) {
        (Some(Json::String(text)), _) => text.clone().into_bytes(),
        (Some(other), _) => other.to_string().into_bytes(),
        (None, Some(coded)) => STANDARD.decode(coded).map_err(|error| format!("body_base64: {error}"))?,
        (None, None) => Vec::new(),
    };
    let headers = match object.get("headers") {
        None => Vec::new(),
        Some(Json::Object(headers)) => {
            let plain = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Some(_) => return Err("headers: write an object".to_owned()),
    };
    // The recorded body is complete and decompressed.
    let is_transfer_field = |name: &str| {
        ["content-length", "content-encoding", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
    };
    let headers = headers.into_iter().filter(|(name, _)| !is_transfer_field(name)).collect();
    Ok(Reply { status, headers, body: body.into() })
}

fn text<'o>(object: &'o Object<String, Json>, key: &str) -> Result<Option<&'o str>, String> {
    match object.get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key}: write text")),
    }
}

fn split(written: &str, key: &str, example: &str) -> Result<(String, String), String> {
    let parts = written.split_once(' ').map(|(method, rest)| (method.to_uppercase(), rest.to_owned()));
    parts.ok_or_else(|| format!("{key}: write the method and the target, such as {example:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> String {
        parse(line).err().unwrap_or_default()
    }

    #[test]
    fn errors_name_the_key_and_the_notation() {
        assert!(fault("{").starts_with("not a JSON object"));
        assert_eq!(fault(r#"{"tpic": "a"}"#), "unknown key `tpic`, did you mean `topic`?");
        assert!(fault(r#"{"topic": "a"}"#).starts_with("the key `time` is missing"));
        assert!(fault(r#"{"time": "2026-01-01T00:00:00Z"}"#).starts_with("there is no event"));
        assert_eq!(fault(r#"{"time": "2026-01-01T00:00:00Z", "topic": "a", "qos": 3}"#), "qos: write 0, 1 or 2");
        assert!(fault(r#"{"time": "2026-01-01T00:00:00Z", "http": "GET"}"#).starts_with("http: write the method"));
    }

    #[test]
    fn a_payload_is_text_base64_or_json() {
        let payload = |rest: &str| match parse(&format!(r#"{{"time": "2026-01-01T00:00:00Z", "topic": "a", {rest}}}"#))
        {
            Ok((_, InputEvent::Message(publish))) => publish.payload.to_vec(),
            _ => panic!("no message"),
        };
        assert_eq!(payload(r#""payload": "on""#), b"on");
        assert_eq!(payload(r#""payload": {"a": 1}"#), br#"{"a":1}"#);
        assert_eq!(payload(r#""payload_base64": "/w==""#), [0xff]);
    }
}
