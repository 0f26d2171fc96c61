//! Methods of events: JSON, forms, text and bytes.

use std::path::Path;

use jiff::tz::TimeZone;
use rhai::plugin::*;

use crate::event::{Payload, ReceivedMessage};
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

/// Returns the argument of a handler.
pub fn to_dynamic(payload: &Payload) -> Dynamic {
    match payload {
        Payload::Fields(fields) => convert::map(fields),
        Payload::Message(payload) => {
            let params: rhai::Map =
                map_of(payload.params().into_iter().map(|(name, level)| (name.into(), level.into())));
            let mut map = message_map(&payload.message, payload.qos, &payload.zone);
            map.insert("params".into(), params.into());
            map.into()
        }
    }
}

/// Returns a message as scripts see it, without `params`.
pub(super) fn message_map(message: &ReceivedMessage, qos: u8, zone: &TimeZone) -> rhai::Map {
    map_of([
        ("topic".into(), message.topic.as_str().into()),
        ("payload".into(), (&*String::from_utf8_lossy(&message.payload)).into()),
        ("bytes".into(), Dynamic::from_blob(message.payload.to_vec())),
        ("qos".into(), i64::from(qos).into()),
        ("retain".into(), message.retain.into()),
        ("dup".into(), message.dup.into()),
        ("broker".into(), (*message.broker).into()),
        ("properties".into(), convert::to_dynamic(message.properties.clone().into())),
        ("time".into(), Dynamic::from(message.received.to_zoned(zone.clone()))),
    ])
}

/// Returns the content of an event: its `bytes`, `payload` or `text`, or the content of the changed file.
fn content(event: &rhai::Map) -> Result<Vec<u8>, Thrown> {
    for name in ["bytes", "payload", "text"] {
        let Some(field) = event.get(name) else { continue };
        if let Some(bytes) = field.read_lock::<rhai::Blob>() {
            return Ok(bytes.clone());
        }
        if let Some(text) = field.read_lock::<ImmutableString>() {
            return Ok(text.as_bytes().to_vec());
        }
    }
    if let Some(path) = event.get("path").and_then(|path| path.clone().into_immutable_string().ok())
        && event.contains_key("kind")
    {
        return read_allowed("change.bytes", Path::new(path.as_str()));
    }
    Err(invalid_argument("this map is not an event: it has no `bytes`, `payload`, `text` or `path`"))
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
        json(&content(event)?)
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
        let content = content(event)?;
        let mut form = rhai::Map::new();
        for (name, text) in form_urlencoded::parse(&content) {
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
        Ok(form)
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
        let content = content(event)?;
        Ok(String::from_utf8(content).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned()))
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
        content(event)
    }
}
