//! Types of single values: parsing, error messages and JSON Schema.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::node::Scalar;
use crate::options;
use crate::secrets::Secret;
use crate::units::{parse_size, show_duration, show_size};
use crate::value::Value;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

type Reader<T> = Box<dyn Fn(&Scalar) -> Result<T, String>>;

/// The type of a single value.
pub(super) struct ValueType<T> {
    /// The JSON Schema.
    pub(super) schema: Json,
    /// Whether the value is secret.
    pub(super) is_secret: bool,
    /// The parser; an error contains the correction.
    pub(super) read: Reader<T>,
}

impl<T: 'static> ValueType<T> {
    fn new(schema: Json, read: impl Fn(&Scalar) -> Result<T, String> + 'static) -> Self {
        Self { schema, is_secret: false, read: Box::new(read) }
    }

    /// Adds a check or a conversion.
    pub(super) fn and_then<U: 'static>(self, next: impl Fn(T) -> Result<U, String> + 'static) -> ValueType<U> {
        let read = self.read;
        ValueType {
            schema: self.schema,
            is_secret: self.is_secret,
            read: Box::new(move |scalar| read(scalar).and_then(&next)),
        }
    }
}

/// Text; unquoted numbers keep their notation.
pub(super) fn text() -> ValueType<String> {
    ValueType::new(json!({ "type": ["string", "number"] }), |scalar| {
        scalar.as_text().map(str::to_owned).ok_or_else(|| match scalar.value() {
            Value::Null => "the value is empty: write some text, or \"\" for an empty text".to_owned(),
            value => {
                format!("write text, not {}: \"{}\" with quotes, if that is meant", value.type_name(), scalar.text)
            }
        })
    })
}

/// Non-empty text.
pub(super) fn non_empty_text() -> ValueType<String> {
    text().and_then(|text| if text.trim().is_empty() { Err("write some text, not \"\"".to_owned()) } else { Ok(text) })
}

/// A secret value.
pub(super) fn secret() -> ValueType<Secret> {
    ValueType { is_secret: true, ..text().and_then(|text| Ok(Secret::new(text))) }
}

/// A boolean.
pub(super) fn boolean() -> ValueType<bool> {
    ValueType::new(or_placeholder(json!({ "type": "boolean" })), |scalar| match scalar.value() {
        Value::Bool(boolean) => Ok(boolean),
        _ => Err(format!("{} is not a boolean: write true or false", shown(scalar))),
    })
}

/// A whole number within a range.
pub(super) fn integer(range: RangeInclusive<i64>) -> ValueType<u64> {
    let (least, most) = (*range.start(), *range.end());
    ValueType::new(or_placeholder(json!({ "type": "integer", "minimum": least, "maximum": most })), move |scalar| {
        match scalar.value() {
            Value::Int(number) if range.contains(&number) => Ok(number.unsigned_abs()),
            _ => Err(format!("{} is not valid: write a whole number from {least} to {most}", shown(scalar))),
        }
    })
}

/// A count.
pub(super) fn count(range: RangeInclusive<i64>) -> ValueType<usize> {
    integer(range).and_then(|number| usize::try_from(number).map_err(|_| "the number is too large".to_owned()))
}

/// A number within a range.
pub(super) fn number(range: RangeInclusive<f64>) -> ValueType<f64> {
    let (least, most) = (*range.start(), *range.end());
    ValueType::new(or_placeholder(json!({ "type": "number", "minimum": least, "maximum": most })), move |scalar| {
        let number = match scalar.value() {
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => f64::NAN,
        };
        let wrong = || format!("{} is not valid: write a number from {least} to {most}", shown(scalar));
        range.contains(&number).then_some(number).ok_or_else(wrong)
    })
}

/// A duration within a range, such as `30s`.
pub(super) fn duration(least: Duration, most: Duration) -> ValueType<Duration> {
    let pattern = r"^\s*((\d+(\.\d+)?)(ms|s|m|h|d|w)\s*)+$|\$\{";
    ValueType::new(json!({ "type": ["string", "number"], "pattern": pattern }), move |scalar| {
        let duration = options::duration(&scalar.value())?;
        if (least..=most).contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (show_duration(least), show_duration(most));
        Err(format!("{} is not valid: write a duration from {least} to {most}", shown(scalar)))
    })
}

/// A size in bytes within a range, such as `1MiB`.
pub(super) fn size(least: u64, most: u64) -> ValueType<u64> {
    let pattern = r"^\s*\d+\s*(B|KiB|MiB|GiB|kB|MB|GB)?\s*$|\$\{";
    ValueType::new(json!({ "type": ["string", "integer"], "pattern": pattern }), move |scalar| {
        let bytes = parse_size(&scalar.text)?;
        if (least..=most).contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!("{} is not valid: write a size from {} to {}", shown(scalar), show_size(least), show_size(most)))
    })
}

/// A keyword from a fixed list.
pub(super) fn keyword<T: Copy + 'static>(keywords: &'static [(&'static str, T)]) -> ValueType<T> {
    let names: Vec<_> = keywords.iter().map(|(non_empty_text, _)| *non_empty_text).collect();
    ValueType::new(or_placeholder(json!({ "enum": names })), move |scalar| {
        let found = keywords.iter().find(|(non_empty_text, _)| *non_empty_text == scalar.text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let near = options::nearest(&scalar.text, names.iter().copied());
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            format!("{} is not valid: {near}write one of {}", shown(scalar), names.join(", "))
        })
    })
}

/// A socket address: `127.0.0.1:1883`, `[::1]:1883` or `localhost:1883`.
pub(super) fn socket_address() -> ValueType<SocketAddr> {
    non_empty_text().and_then(|text| {
        let numeric = text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
        numeric.parse().map_err(|_| {
            format!(
                "{text:?} is not an address: write an IP address and a port, such as \"127.0.0.1:7373\" or \"0.0.0.0:7373\""
            )
        })
    })
}

/// An IANA time zone, such as `Europe/Oslo`.
pub(super) fn time_zone() -> ValueType<String> {
    non_empty_text().and_then(|name| {
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        if let Ok(time_zone) = zones.get(&name) {
            return Ok(time_zone.iana_name().unwrap_or(&name).to_owned());
        }
        let known: Vec<_> = zones.available().map(|time_zone| time_zone.to_string()).collect();
        let near = options::nearest(&name, known.iter().map(String::as_str));
        let near = near.map_or_else(|| "such as `Europe/Oslo`".to_owned(), |near| format!("did you mean `{near}`?"));
        Err(format!("{name:?} is not a time zone: write an IANA name, {near}"))
    })
}

/// Extends a schema so that a placeholder is valid, too.
fn or_placeholder(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}

fn shown(scalar: &Scalar) -> String {
    match scalar.value() {
        Value::Text(text) => format!("{text:?}"),
        _ => scalar.text.clone(),
    }
}
