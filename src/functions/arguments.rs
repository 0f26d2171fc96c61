//! What functions make of their arguments: options, durations, text and bytes out of any value.

use std::time::Duration;

use rhai::Dynamic;

use crate::functions::convert::to_value;
use crate::functions::{Thrown, thrown};
use crate::options::{self, Options};
use crate::value::{Value, map_of, rfc3339};

/// The largest text or blob that a function makes, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The largest number of items that a function makes: of a list, or of all lists and maps of a value together.
pub(super) const MAX_ITEMS: usize = 1_000_000;

/// Returns what is thrown for an argument that can not be used.
pub(super) fn invalid_argument(why: impl ToString) -> Thrown {
    thrown("invalid_argument", why.to_string())
}

/// Returns what is thrown for a result over [`MAX_BYTES`] or [`MAX_ITEMS`].
pub(super) fn too_large(what: &str, limit: usize, unit: &str) -> Thrown {
    thrown("too_large", format!("{what} has more than {limit} {unit}"))
}

/// Returns an argument as plain data.
pub(super) fn value(dynamic: &Dynamic) -> Result<Value, Thrown> {
    to_value(dynamic).map_err(invalid_argument)
}

/// Returns the options that a script wrote, to be taken one by one.
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

/// Returns text for people: text as it is, times by RFC 3339, lists and maps as JSON, anything else as Rhai shows it.
pub(super) fn shown(dynamic: &Dynamic) -> String {
    match to_value(dynamic) {
        Ok(Value::Text(text)) => text,
        Ok(Value::Time(time)) => rfc3339(&time),
        Ok(Value::Bytes(bytes)) => hex::encode(bytes),
        Ok(data @ (Value::List(_) | Value::Map(_))) => data.to_json().to_string(),
        _ => dynamic.to_string(),
    }
}

/// Returns a value as the bytes that go out: text as UTF-8, a blob as it is, nothing as nothing, numbers as written, a map or a list as JSON.
pub(super) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Text(text) => text.into_bytes(),
        Value::Bytes(bytes) => bytes,
        Value::Time(time) => rfc3339(&time).into_bytes(),
        Value::Float(number) => Dynamic::from_float(number).to_string().into_bytes(),
        other => other.to_json().to_string().into_bytes(),
    }
}
