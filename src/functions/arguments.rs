//! Conversion of function arguments: options, durations, text and bytes.

use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use crate::functions::convert::{json_text, to_value};
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::options::{self, Options};
use crate::value::{Value, map_of, rfc3339};

/// The largest text or blob that a function returns, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The largest number of items that a function returns: in a list, or in all nested lists and maps of a value together.
pub(super) const MAX_ITEMS: usize = 1_000_000;

/// Returns an argument as plain data.
pub(super) fn value(dynamic: &Dynamic) -> Result<Value, Thrown> {
    to_value(dynamic).map_err(invalid_argument)
}

/// Reads a map of options.
pub(super) fn parse_options(written: &rhai::Map) -> Result<Options, Thrown> {
    let named = |(key, option): (&_, &Dynamic)| {
        let key = ToString::to_string(key);
        to_value(option).map(|value| (key.clone(), value)).map_err(|why| invalid_argument(format!("{key}: {why}")))
    };
    let named = written.iter().map(named).collect::<Result<Vec<_>, Thrown>>()?;
    Ok(Options::new(map_of(named)))
}

/// Returns a duration: text with a unit, or a number of seconds.
pub(super) fn duration(dynamic: &Dynamic) -> Result<Duration, Thrown> {
    options::duration(&value(dynamic)?).map_err(invalid_argument)
}

/// Returns a value as readable text: strings unchanged, times in RFC 3339, lists and maps as JSON, other values as Rhai prints them.
pub(super) fn shown(dynamic: &Dynamic) -> String {
    match to_value(dynamic) {
        Ok(Value::Text(text)) => text,
        Ok(Value::Time(time)) => rfc3339(&time),
        Ok(Value::Bytes(bytes)) => hex::encode(bytes),
        Ok(data @ (Value::List(_) | Value::Map(_))) => data.to_json_text(),
        _ => dynamic.to_string(),
    }
}

/// Returns an argument as bytes to send, like [`bytes`].
pub(super) fn to_bytes(dynamic: &Dynamic) -> Result<Vec<u8>, Thrown> {
    if let Some(text) = dynamic.read_lock::<ImmutableString>() {
        return Ok(text.as_bytes().to_vec());
    }
    if dynamic.is_map() || dynamic.is_array() {
        return json_text(dynamic).map(String::into_bytes).map_err(invalid_argument);
    }
    value(dynamic).map(bytes)
}

/// Returns a value as bytes to send: text as UTF-8, blobs unchanged, `()` as no bytes, numbers as text, maps and lists as JSON.
pub(super) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Text(text) => text.into_bytes(),
        Value::Bytes(bytes) => bytes,
        Value::Time(time) => rfc3339(&time).into_bytes(),
        Value::Float(number) => Dynamic::from_float(number).to_string().into_bytes(),
        other => other.to_json_text().into_bytes(),
    }
}
