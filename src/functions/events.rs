//! Methods of events: JSON, forms, text and bytes.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;
use rhai::plugin::*;

use crate::event::{Payload, ReceivedMessage, ReceivedRequest};
use crate::functions::convert;
use crate::functions::data::json;
use crate::functions::outside::files::read_allowed;
use crate::functions::package::Package;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::value::map_of;

/// Methods of events.
pub const EVENTS: Package = Package {
    name: "Events",
    docs: "Methods of the events that handlers get: `msg.json()`, `request.form()`, `change.text()`.",
    register: |module| {
        combine_with_exported_module!(module, "events", functions);
    },
};

/// Methods without arguments that read the content of an event.
pub const EVENT_METHODS: &[&str] = &["json", "form", "text", "bytes"];

/// Fields with the content of an event, and those by which its content is found.
const CONTENT: &[&str] = &["bytes", "payload", "text", "path", "kind"];

/// Fields of its argument that a handler reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFields {
    /// All, as far as is known.
    All,
    /// Only some.
    Only {
        /// Names of fields.
        names: BTreeSet<String>,
        /// Whether it calls one of [`EVENT_METHODS`].
        content: bool,
    },
}

impl ReadFields {
    /// Returns whether a field is read; `content` names the fields that [`EVENT_METHODS`] read.
    fn contains(&self, name: &str, content: &[&str]) -> bool {
        match self {
            Self::All => true,
            Self::Only { names, content: reads_content } => {
                names.contains(name) || (*reads_content && content.contains(&name))
            }
        }
    }

    /// Returns a map of those of its fields that are read; `content` is as for [`ReadFields::contains`].
    fn map(&self, content: &[&str], fields: &[(&str, &dyn Fn() -> Dynamic)]) -> rhai::Map {
        let mut map = rhai::Map::new();
        for (name, value) in fields {
            if self.contains(name, content) {
                map.insert((*name).into(), value());
            }
        }
        map
    }
}

/// Returns the argument of a handler, with the fields that it reads.
pub fn to_dynamic(payload: &Payload, fields: &ReadFields) -> Dynamic {
    let map = match payload {
        Payload::Fields(all) => {
            let read = all.iter().filter(|(name, _)| fields.contains(name, CONTENT));
            map_of(read.map(|(name, value)| (name.as_str().into(), convert::to_dynamic(value.clone()))))
        }
        Payload::Message(payload) => {
            let mut map = message_map(&payload.message, payload.qos, &payload.zone, fields);
            map.extend(fields.map(&[], &[("params", &|| text_map(payload.params()))]));
            map
        }
        Payload::Request(payload) => request_map(&payload.request, fields),
    };
    map.into()
}

fn text_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Dynamic {
    Dynamic::from_map(map_of(pairs.into_iter().map(|(name, value)| (name.into(), value.into()))))
}

/// Returns a message as scripts see it, without `params`.
pub(super) fn message_map(message: &ReceivedMessage, qos: u8, zone: &TimeZone, fields: &ReadFields) -> rhai::Map {
    fields.map(
        &["bytes"],
        &[
            ("topic", &|| message.topic.as_str().into()),
            ("payload", &|| (&*String::from_utf8_lossy(&message.payload)).into()),
            ("bytes", &|| Dynamic::from_blob(message.payload.to_vec())),
            ("qos", &|| i64::from(qos).into()),
            ("retain", &|| message.retain.into()),
            ("dup", &|| message.dup.into()),
            ("broker", &|| (*message.broker).into()),
            ("properties", &|| convert::to_dynamic(message.properties.clone().into())),
            ("time", &|| Dynamic::from(message.received.to_zoned(zone.clone()))),
        ],
    )
}

/// Returns a request as scripts see it.
fn request_map(request: &ReceivedRequest, fields: &ReadFields) -> rhai::Map {
    let query = || {
        Dynamic::from_map(map_of(request.query_values().into_iter().map(|(name, values)| {
            let value = match values.as_slice() {
                [one] => (*one).into(),
                several => Dynamic::from_array(several.iter().map(|&value| value.into()).collect()),
            };
            (name.into(), value)
        })))
    };
    let headers = || {
        let pairs = request.header_values().map(|(name, value)| (name.into(), value.into_owned().into()));
        Dynamic::from_map(map_of(pairs))
    };
    fields.map(
        &["bytes"],
        &[
            ("method", &|| request.method.as_str().into()),
            ("path", &|| request.path.as_str().into()),
            ("params", &|| text_map(request.params.iter().map(|(name, value)| (name.as_str(), value.as_str())))),
            ("query", &query),
            ("headers", &headers),
            ("text", &|| (&*request.text()).into()),
            ("bytes", &|| Dynamic::from_blob(request.body.to_vec())),
            ("remote", &|| request.remote.to_string().into()),
        ],
    )
}

/// Passes the content of an event on: its `bytes`, `payload` or `text`, or the content of the changed file.
fn with_content<T>(event: &rhai::Map, read: impl FnOnce(&[u8]) -> Result<T, Thrown>) -> Result<T, Thrown> {
    for name in ["bytes", "payload", "text"] {
        let Some(field) = event.get(name) else { continue };
        if let Some(bytes) = field.read_lock::<rhai::Blob>() {
            return read(&bytes);
        }
        if let Some(text) = field.read_lock::<ImmutableString>() {
            return read(text.as_bytes());
        }
    }
    if let Some(path) = event.get("path").and_then(|path| path.clone().into_immutable_string().ok())
        && event.contains_key("kind")
    {
        return read(&read_allowed("change.bytes", Path::new(path.as_str()))?);
    }
    Err(invalid_argument("this map is not an event: it has no `bytes`, `payload`, `text` or `path`"))
}

fn parse_form(content: &[u8]) -> rhai::Map {
    let mut form = rhai::Map::new();
    for (name, text) in form_urlencoded::parse(content) {
        let text = Dynamic::from(text.into_owned());
        let Some(earlier) = form.get_mut(name.as_ref()) else {
            form.insert(name.as_ref().into(), text);
            continue;
        };
        if !earlier.is_array() {
            *earlier = Dynamic::from_array(vec![earlier.take()]);
        }
        if let Some(mut list) = earlier.write_lock::<rhai::Array>() {
            list.push(text);
        }
    }
    form
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Parses the content of a message, request or changed file as JSON. If it is invalid, throws `decode` with the position of the error.
    ///
    /// # Example
    /// ```rhai
    /// let msg = #{ topic: "attic/sensor", payload: `{"celsius": 21.5}` };
    /// assert_eq(msg.json().celsius, 21.5);
    /// ```
    #[rhai_fn(name = "json", pure, return_raw)]
    pub fn json_of(event: &mut rhai::Map) -> Result<Dynamic, Thrown> {
        with_content(event, json)
    }

    /// Parses the body of a request as a form: a map of text. The values of a repeated name become an array.
    ///
    /// # Example
    /// ```rhai
    /// let request = #{ method: "POST", text: "room=bath+one&on=1&on=2" };
    /// assert_eq(request.form(), #{ room: "bath one", on: ["1", "2"] });
    /// ```
    #[rhai_fn(name = "form", pure, return_raw)]
    pub fn form(event: &mut rhai::Map) -> Result<rhai::Map, Thrown> {
        with_content(event, |content| Ok(parse_form(content)))
    }

    /// Returns the content of a message, request or changed file as text. Invalid UTF-8 is replaced by `�`.
    ///
    /// # Example
    /// ```rhai
    /// let msg = #{ topic: "attic", payload: "on" };
    /// assert_eq(msg.text(), "on");
    /// ```
    #[rhai_fn(name = "text", pure, return_raw)]
    pub fn text(event: &mut rhai::Map) -> Result<String, Thrown> {
        with_content(event, |content| Ok(String::from_utf8_lossy(content).into_owned()))
    }

    /// Returns the content of a message, request or changed file as a blob.
    ///
    /// # Example
    /// ```rhai
    /// let msg = #{ topic: "attic", payload: "on" };
    /// assert_eq(msg.bytes().len(), 2);
    /// ```
    #[rhai_fn(name = "bytes", pure, return_raw)]
    pub fn bytes(event: &mut rhai::Map) -> Result<rhai::Blob, Thrown> {
        with_content(event, |content| Ok(content.to_vec()))
    }
}
