//! Payloads of events that are fired manually: missing fields are filled in as in real events.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::services::Services;
use crate::triggers::trigger::Trigger;
use crate::value::{Map, Value};

/// Returns the payload of a manual event: the given fields, and example fields of the trigger for the rest.
pub fn manual_payload(trigger: &dyn Trigger, given: Map, services: &Services) -> Map {
    let zone = services.clock.zone();
    let mut payload = trigger.example(&given, services);
    for (name, value) in given {
        let fitted = fit(payload.get(&name), value, &zone);
        payload.insert(name, fitted);
    }
    payload
}

/// Converts a value from JSON to the type that the field has in real events.
fn fit(real: Option<&Value>, given: Value, zone: &TimeZone) -> Value {
    match (real, given) {
        (Some(Value::Time(_)), Value::Text(text)) => match time(&text, zone) {
            Some(time) => Value::Time(time),
            None => Value::Text(text),
        },
        (Some(Value::Bytes(_)), given) => Value::Bytes(bytes(&given)),
        (Some(Value::Text(_)), Value::Text(given)) => Value::Text(given),
        (Some(Value::Text(_)), given) if given != Value::Null => text(&given).into(),
        (Some(Value::Float(_)), Value::Int(number)) => Value::Float(number as f64),
        (_, given) => given,
    }
}

fn time(text: &str, zone: &TimeZone) -> Option<Zoned> {
    text.parse::<Zoned>().ok().or_else(|| Some(text.parse::<Timestamp>().ok()?.to_zoned(zone.clone())))
}

/// Returns the field `name` as text together with the field `bytes`, from whichever is given.
pub(super) fn text_and_bytes(name: &str, given: &Map) -> [(String, Value); 2] {
    let text_and_bytes = given.get("bytes").or_else(|| given.get(name)).map(bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&text_and_bytes).into_owned();
    [(name.to_owned(), text.into()), ("bytes".to_owned(), text_and_bytes.into())]
}

/// Returns the bytes of a value: text and bytes unchanged, an array of byte values as bytes, anything else as JSON.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::List(items) => {
            let byte = |item: &Value| match item {
                Value::Int(number) => u8::try_from(*number).ok(),
                _ => None,
            };
            let all = items.iter().map(byte).collect::<Option<_>>();
            all.unwrap_or_else(|| value.to_json_text().into_bytes())
        }
        other => other.to_json_text().into_bytes(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.to_json_text(),
    }
}

/// Returns a topic or path that a pattern matches: named parts are taken from the given `params`, or are replaced by their names.
pub(super) fn example_for(pattern: &str, given: &Map) -> String {
    let params = match given.get("params") {
        Some(Value::Map(params)) => Some(params),
        _ => None,
    };
    let part = |part: &str| {
        let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match (part, name.map(|name| name.trim_start_matches('*'))) {
            (_, Some(name)) => match params.and_then(|params| params.get(name)) {
                Some(Value::Text(value)) => value.clone(),
                Some(value) => text(value),
                None => name.to_owned(),
            },
            ("+" | "#", None) => "any".to_owned(),
            (literal, None) => literal.to_owned(),
        }
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn a_pattern_becomes_one_that_it_matches() {
        let given = map_of([("params".into(), map_of([("id".into(), Value::Int(7))]).into())]);
        assert_eq!(example_for("door/{id}/+/{side}", &given), "door/7/any/side");
        assert_eq!(example_for("files/{*rest}", &Map::new()), "files/rest");
        assert_eq!(example_for("a/#", &Map::new()), "a/any");
    }

    #[test]
    fn values_from_json_get_the_type_of_the_field() {
        let zone = TimeZone::UTC;
        let now = Value::Time(Timestamp::UNIX_EPOCH.to_zoned(zone.clone()));
        let later = fit(Some(&now), "2026-01-01T01:00:00+01:00".into(), &zone);
        assert_eq!(later, Value::Time("2026-01-01T00:00:00+00:00[UTC]".parse().unwrap()));
        assert_eq!(fit(Some(&now), "soon".into(), &zone), Value::from("soon"));
        assert_eq!(fit(Some(&Value::Float(0.0)), Value::Int(3), &zone), Value::Float(3.0));
        assert_eq!(fit(Some(&"".into()), map_of([("a".into(), Value::Int(1))]).into(), &zone), r#"{"a":1}"#.into());
        assert_eq!(fit(Some(&Value::Null), Value::Int(3), &zone), Value::Int(3));
    }
}
