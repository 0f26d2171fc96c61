//! Comparison and display of values in assertions.

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::{shown, value};
use crate::functions::convert::to_dynamic;
use crate::functions::thrown::Thrown;
use crate::value::{Map, Value};

/// The largest number of recorded items in the message of a failed assertion.
const MAX_SHOWN: usize = 8;

/// Returns a value for comparison and display: text that is a JSON array or object is parsed.
fn normalized(value: &Value) -> Value {
    match value {
        Value::Text(text) if text.starts_with(['{', '[']) => {
            serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| value.clone(), Value::from)
        }
        other => other.clone(),
    }
}

/// Returns whether two values are equal. Integers and floats are compared as numbers, and payloads also as text.
pub(super) fn is_equal(actual: &Value, expected: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    match (normalized(actual), normalized(expected)) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_equal(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_equal(a, b)))
        }
        (a, b) if number(&a).is_some() && number(&b).is_some() => number(&a) == number(&b),
        (Value::Text(text), other) | (other, Value::Text(text)) if number(&other).is_some() => {
            text.parse::<f64>().ok() == number(&other)
        }
        (Value::Text(text), Value::Bool(other)) | (Value::Bool(other), Value::Text(text)) => text == other.to_string(),
        (a, b) => a == b,
    }
}

/// Returns a value as text for a message.
pub(super) fn display(value: &Value) -> String {
    match normalized(value) {
        Value::Text(text) => format!("{text:?}"),
        other => shown(&to_dynamic(other)),
    }
}

/// Returns whether a value matches an expected value or a predicate; the predicate gets `whole`.
pub(super) fn matches(
    context: &NativeCallContext<'_>,
    expected: &Dynamic,
    actual: &Value,
    whole: &Value,
) -> Result<bool, Thrown> {
    match expected.clone().try_cast::<FnPtr>() {
        Some(predicate) => predicate.call_within_context::<bool>(context, (to_dynamic(whole.clone()),)),
        None => Ok(is_equal(actual, &value(expected)?)),
    }
}

/// Returns the last lines of a list, indented, after a heading; or `none` if the list is empty.
pub(super) fn list(heading: &str, lines: Vec<String>, none: &str) -> String {
    if lines.is_empty() {
        return none.to_owned();
    }
    let hidden = lines.len().saturating_sub(MAX_SHOWN);
    let head = if hidden > 0 { format!("\n  … {hidden} earlier") } else { String::new() };
    format!("{heading}:{head}\n  {}", lines[hidden..].join("\n  "))
}

/// Returns a field of a record; null if it is missing.
pub(super) fn field<'m>(map: &'m Map, name: &str) -> &'m Value {
    map.get(name).unwrap_or(&Value::Null)
}

/// Returns a text field of a record.
pub(super) fn text<'m>(map: &'m Map, name: &str) -> &'m str {
    map.get(name).and_then(Value::as_text).unwrap_or_default()
}
