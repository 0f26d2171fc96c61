//! Conversion between Rhai values and plain data.

use rhai::{Dynamic, ImmutableString};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::functions::http::headers::Headers;
use crate::value::{Json, MAX_DEPTH, Map, Value, map_of};

/// Returns a Rhai value as plain data.
///
/// # Errors
/// If the value contains a function or another type that is not data, or nests deeper than [`MAX_DEPTH`].
pub fn to_value(dynamic: &Dynamic) -> Result<Value, String> {
    at_depth(dynamic, 0)
}

fn at_depth(dynamic: &Dynamic, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the value nests deeper than {MAX_DEPTH} levels"));
    }
    if dynamic.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = dynamic.as_bool() {
        return Ok(Value::Bool(value));
    }
    if let Ok(value) = dynamic.as_int() {
        return Ok(Value::Int(value));
    }
    if let Ok(value) = dynamic.as_float() {
        return Ok(Value::Float(value));
    }
    if let Some(value) = dynamic.read_lock::<ImmutableString>() {
        return Ok(Value::Text(value.to_string()));
    }
    if let Ok(value) = dynamic.as_char() {
        return Ok(Value::Text(value.to_string()));
    }
    if let Some(value) = dynamic.read_lock::<rhai::Blob>() {
        return Ok(Value::Bytes(value.clone()));
    }
    if let Some(value) = dynamic.read_lock::<jiff::Zoned>() {
        return Ok(Value::Time(value.clone()));
    }
    if let Some(items) = dynamic.read_lock::<rhai::Array>() {
        return items.iter().map(|item| at_depth(item, depth + 1)).collect::<Result<_, _>>().map(Value::List);
    }
    if let Some(map) = dynamic.read_lock::<rhai::Map>() {
        return map
            .iter()
            .map(|(key, value)| Ok((key.to_string(), at_depth(value, depth + 1)?)))
            .collect::<Result<Vec<_>, String>>()
            .map(map_of)
            .map(Value::Map);
    }
    if let Some(headers) = dynamic.read_lock::<Headers>() {
        return at_depth(&Dynamic::from_map(headers.map()), depth);
    }
    // Rust types are shown without their module path.
    let name = dynamic.type_name();
    Err(match name.rsplit("::").next().unwrap_or(name) {
        "Fn" => "a function is not data".to_owned(),
        short => format!("a {short} is not data"),
    })
}

/// Returns a Rhai value as JSON text like [`Value::to_json_text`], without an intermediate copy.
///
/// # Errors
/// As [`to_value`].
pub fn json_text(dynamic: &Dynamic) -> Result<String, String> {
    serde_json::to_string(&DynamicJson { dynamic, depth: 0 }).map_err(|why| why.to_string())
}

struct DynamicJson<'a> {
    dynamic: &'a Dynamic,
    depth: usize,
}

impl Serialize for DynamicJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { dynamic, depth } = *self;
        let nested = |dynamic| DynamicJson { dynamic, depth: depth + 1 };
        if depth <= MAX_DEPTH {
            if let Some(text) = dynamic.read_lock::<ImmutableString>() {
                return to.serialize_str(&text);
            }
            if let Some(items) = dynamic.read_lock::<rhai::Array>() {
                return to.collect_seq(items.iter().map(nested));
            }
            if let Some(map) = dynamic.read_lock::<rhai::Map>() {
                return to.collect_map(map.iter().map(|(key, value)| (key.as_str(), nested(value))));
            }
        }
        Json(&at_depth(dynamic, depth).map_err(S::Error::custom)?).serialize(to)
    }
}

/// Returns a map of plain data as a Rhai map.
pub fn map(data: &Map) -> Dynamic {
    Dynamic::from_map(map_of(data.iter().map(|(name, value)| (name.as_str().into(), to_dynamic(value.clone())))))
}

/// Returns plain data as a Rhai value.
pub fn to_dynamic(value: Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Float(value) => value.into(),
        Value::Text(value) => value.into(),
        Value::Bytes(value) => Dynamic::from_blob(value),
        Value::Time(value) => Dynamic::from(value),
        Value::List(items) => Dynamic::from_array(items.into_iter().map(to_dynamic).collect()),
        Value::Map(map) => {
            Dynamic::from_map(map_of(map.into_iter().map(|(key, value)| (key.into(), to_dynamic(value)))))
        }
    }
}
