//! Plain data: event payloads, stored state and return values of handlers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Zoned;
use serde::{Serialize, Serializer};
use serde_json::json;

/// A map of named values, sorted by name.
pub type Map = BTreeMap<String, Value>;

/// Returns a map of pairs. The last pair with a name wins.
///
/// `collect` and `from` do the same, but each use adds about 4 kB of sorting code to the binary.
pub fn map_of<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(pairs);
    map
}

/// The deepest allowed nesting of values. The parser of `serde_json` has the same limit.
pub const MAX_DEPTH: usize = 128;

/// A plain data value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// The empty value: `()` in scripts, `null` in JSON.
    #[default]
    Null,
    /// A bool.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes: a `blob` in scripts.
    Bytes(Vec<u8>),
    /// A time in a time zone: a `datetime` in scripts.
    Time(Zoned),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(Map),
}

impl Value {
    /// Returns the text, if the value is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the name of the type for messages to script authors.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "()",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "a blob",
            Self::Time(_) => "a datetime",
            Self::List(_) => "an array",
            Self::Map(_) => "a map",
        }
    }

    /// Returns the start of the value as JSON, up to a number of characters, followed by `…` if it is cut off. Cheap for large values.
    pub fn preview(&self, characters: usize) -> String {
        let mut text = String::new();
        self.write_preview(&mut text, characters);
        match text.char_indices().nth(characters) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// Writes the value as JSON until the text is long enough.
    fn write_preview(&self, text: &mut String, characters: usize) {
        match self {
            _ if text.len() > 4 * characters => {}
            Self::Text(long) if long.len() > 4 * characters => {
                let start: String = long.chars().take(characters + 1).collect();
                text.push_str(&serde_json::Value::from(start).to_string());
            }
            Self::Bytes(bytes) => text.push_str(&format!("a blob of {} bytes", bytes.len())),
            Self::List(items) => {
                text.push('[');
                for (at, item) in items.iter().enumerate().take(characters + 1) {
                    text.push_str(if at > 0 { "," } else { "" });
                    item.write_preview(text, characters);
                }
                text.push(']');
            }
            Self::Map(map) => {
                text.push('{');
                for (at, (key, value)) in map.iter().enumerate().take(characters + 1) {
                    text.push_str(if at > 0 { "," } else { "" });
                    text.push_str(&serde_json::Value::from(key.as_str()).to_string());
                    text.push(':');
                    value.write_preview(text, characters);
                }
                text.push('}');
            }
            scalar => text.push_str(&scalar.to_json_text()),
        }
    }

    /// Converts the value to JSON for other programs: bytes as base64 text, times in the form of [`rfc3339`], NaN and infinity as `null`.
    pub fn to_json(&self) -> serde_json::Value {
        self.json(&|bytes| BASE64_STANDARD.encode(bytes).into(), &|time| rfc3339(time).into())
    }

    /// Converts the value to JSON that [`Value::from_stored`] converts back without loss: bytes as `{"$bytes": …}`, times as `{"$time": …}`.
    pub fn to_stored(&self) -> serde_json::Value {
        self.json(
            &|bytes| json!({ "$bytes": BASE64_STANDARD.encode(bytes) }),
            &|time| json!({ "$time": time.to_string() }),
        )
    }

    /// Returns the text of [`Value::to_json`] without an intermediate copy.
    pub fn to_json_text(&self) -> String {
        // Writing to a string cannot fail, and every key is text.
        serde_json::to_string(&Json(self)).unwrap_or_default()
    }

    /// Returns the text of [`Value::to_stored`] without an intermediate copy.
    pub fn to_stored_text(&self) -> String {
        serde_json::to_string(&Stored(self)).unwrap_or_default()
    }

    /// Converts the result of [`Value::to_stored`] back. Other JSON is converted as it is.
    pub fn from_stored(json: serde_json::Value) -> Self {
        if let serde_json::Value::Object(map) = &json
            && map.len() == 1
        {
            let text = |key: &str| map.get(key).and_then(serde_json::Value::as_str);
            if let Some(bytes) = text("$bytes").and_then(|text| BASE64_STANDARD.decode(text).ok()) {
                return Self::Bytes(bytes);
            }
            if let Some(time) = text("$time").and_then(|text| text.parse().ok()) {
                return Self::Time(time);
            }
        }
        match json {
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from_stored).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(map_of(map.into_iter().map(|(key, value)| (key, Self::from_stored(value)))))
            }
            scalar => Self::from(scalar),
        }
    }

    fn json(
        &self,
        bytes: &dyn Fn(&[u8]) -> serde_json::Value,
        time: &dyn Fn(&Zoned) -> serde_json::Value,
    ) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::Bytes(value) => bytes(value),
            Self::Time(value) => time(value),
            Self::List(items) => items.iter().map(|item| item.json(bytes, time)).collect(),
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                object.extend(map.iter().map(|(key, value)| (key.clone(), value.json(bytes, time))));
                object.into()
            }
        }
    }
}

/// The serialized form of [`Value::to_json`].
pub struct Json<'a>(pub &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bytes(bytes) => to.serialize_str(&BASE64_STANDARD.encode(bytes)),
            Value::Time(time) => to.serialize_str(&rfc3339(time)),
            Value::List(items) => to.collect_seq(items.iter().map(Json)),
            Value::Map(map) => to.collect_map(map.iter().map(|(key, value)| (key, Json(value)))),
            scalar => Stored(scalar).serialize(to),
        }
    }
}

/// The serialized form of [`Value::to_stored`].
struct Stored<'a>(&'a Value);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::Int(value) => to.serialize_i64(*value),
            Value::Float(value) => to.serialize_f64(*value),
            Value::Text(value) => to.serialize_str(value),
            Value::Bytes(bytes) => to.collect_map([("$bytes", BASE64_STANDARD.encode(bytes))]),
            Value::Time(time) => to.collect_map([("$time", time.to_string())]),
            Value::List(items) => to.collect_seq(items.iter().map(Stored)),
            Value::Map(map) => to.collect_map(map.iter().map(|(key, value)| (key, Stored(value)))),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(value) => match value.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Float(value.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(value) => Self::Text(value),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(map_of(map.into_iter().map(|(key, value)| (key, Self::from(value)))))
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Zoned> for Value {
    fn from(value: Zoned) -> Self {
        Self::Time(value)
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Self {
        Self::Map(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Formats a time as date, time and offset, without the name of the zone in brackets.
///
/// Source: RFC 3339. The brackets are from RFC 9557, which most parsers reject.
pub fn rfc3339(time: &Zoned) -> String {
    time.timestamp().display_with_offset(time.offset()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_json_follow_rfc_3339() {
        let time = Value::Time("2026-03-29T03:00:00+02:00[Europe/Berlin]".parse().unwrap());
        assert_eq!(Value::List(vec![time]).to_json_text(), r#"["2026-03-29T03:00:00+02:00"]"#);
    }

    #[test]
    fn a_preview_of_a_large_value_is_cut_off() {
        let value = Value::List(vec![Value::from("a\"b"), Value::Bytes(vec![0; 7]), Value::Int(1)]);
        assert_eq!(value.preview(100), r#"["a\"b",a blob of 7 bytes,1]"#);
        assert_eq!(value.preview(8), r#"["a\"b",…"#);
        assert_eq!(Value::from("é".repeat(1_000_000)).preview(3), "\"éé…");
        let wide = Value::List(vec![Value::List(vec![Value::Int(1); 1_000]); 100]);
        assert_eq!(wide.preview(5), "[[1,1…");
    }

    #[test]
    fn the_stored_form_round_trips() {
        let value = Value::Map(map_of([
            ("bytes".into(), Value::Bytes(vec![0, 255])),
            ("time".into(), Value::Time("2026-03-29T03:00:00+02:00[Europe/Berlin]".parse().unwrap())),
            ("list".into(), Value::List(vec![Value::Int(1), Value::Float(1.5), Value::Null])),
        ]));
        assert_eq!(Value::from_stored(value.to_stored()), value);
        assert_eq!(value.to_stored_text(), value.to_stored().to_string());
        assert_eq!(Value::Float(f64::NAN).to_stored_text(), Value::Float(f64::NAN).to_stored().to_string());
    }
}
