//! Names and values of query parameters, form fields, headers and cookies.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::functions::arguments::bytes;
use crate::value::{Value, rfc3339};

/// Names and values, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Returns a value as text of a query, a form or a header.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Int(_) | Value::Float(_) => Ok(String::from_utf8_lossy(&bytes(value)).into_owned()),
        Value::Time(time) => Ok(rfc3339(&time)),
        other => Err(format!("write text or a number, not {}", other.type_name())),
    }
}

/// Returns the names and values of a map or a list of pairs, in order.
pub(super) fn named(value: Value) -> Result<Vec<(String, Value)>, String> {
    let wrong = || "write a map, or pairs such as [[\"a\", 1], [\"b\", 2]]".to_owned();
    match value {
        Value::Map(map) => Ok(map.into_iter().collect()),
        Value::List(items) => {
            let pair = |item| {
                let Value::List(pair) = item else { return Err(wrong()) };
                let [name, value] = <[Value; 2]>::try_from(pair).map_err(|_| wrong())?;
                Ok((text(name)?, value))
            };
            items.into_iter().map(pair).collect()
        }
        _ => Err(wrong()),
    }
}

/// Reads a map or a list of pairs; `()` omits a name; a list repeats it if `repeat` is set.
pub(super) fn pairs(value: Value, repeat: bool) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    for (name, value) in named(value)? {
        let items = match value {
            Value::Null => continue,
            Value::List(items) if repeat => items,
            single => vec![single],
        };
        for item in items {
            let text = text(item).map_err(|why| format!("{name}: {why}"))?;
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}

/// Characters that are not escaped in a query or a form, as in Python's `urlencode`.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b' ');

/// Encodes pairs for a query or a form.
pub(super) fn encoded(pairs: &Pairs) -> String {
    let plain = |text: &str| utf8_percent_encode(text, &PLAIN).to_string().replace(' ', "+");
    let pairs: Vec<_> = pairs.iter().map(|(name, text)| format!("{}={}", plain(name), plain(text))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn queries_are_encoded_as_in_python() {
        let pairs: Pairs = [("a b", "1+1=2&~"), ("é*", "/?'中")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(encoded(&pairs), "a+b=1%2B1%3D2%26~&%C3%A9%2A=%2F%3F%27%E4%B8%AD");
    }

    #[test]
    fn parameters_repeat_lists_and_omit_only_null() {
        let map = map_of([
            ("a".into(), Value::List(vec![1.into(), 2.into()])),
            ("b".into(), Value::Null),
            ("c".into(), Value::Bool(true)),
        ]);
        let expected: Pairs = [("a", "1"), ("a", "2"), ("c", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(pairs(Value::Map(map), true), Ok(expected));
    }
}
