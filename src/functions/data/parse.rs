//! Parsing of JSON and YAML directly to Rhai values, with a limit on their number.

use std::cell::Cell;
use std::fmt;

use rhai::Dynamic;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::functions::arguments::MAX_ITEMS;
use crate::functions::thrown::{Thrown, thrown};

/// Parses JSON.
///
/// # Errors
/// `decode` with the position of the error and the beginning of the text.
pub(in crate::functions) fn json(text: &[u8]) -> Result<Dynamic, Thrown> {
    let budget = Cell::new(MAX_ITEMS);
    // Some Windows programs write a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Seed(&budget).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| undecodable("JSON", &error, text))
}

/// Parses a YAML document.
///
/// # Errors
/// `decode` with the position of the error and the beginning of the text.
pub(super) fn yaml(text: &str) -> Result<Dynamic, Thrown> {
    let budget = Cell::new(MAX_ITEMS);
    let read = Seed(&budget).deserialize(serde_yaml::Deserializer::from_str(text));
    read.map_err(|error| undecodable("YAML", &error, text.as_bytes()))
}

fn undecodable(format: &str, error: &impl fmt::Display, text: &[u8]) -> Thrown {
    let text = String::from_utf8_lossy(&text[..text.len().min(400)]);
    let begin: String = text.chars().take(80).collect();
    thrown("decode", format!("invalid {format}: {error}; the text begins with {begin:?}"))
}

/// Deserializes any value; contains the number of values left.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.ok_or_else(|| D::Error::custom(format!("more than {MAX_ITEMS} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_none<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    // Numbers beyond the range of integers become floats.
    fn visit_u64<E>(self, value: u64) -> Result<Dynamic, E> {
        Ok(i64::try_from(value).map_or_else(|_| Dynamic::from_float(value as f64), Dynamic::from_int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dynamic, A::Error> {
        let mut array = rhai::Array::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Dynamic::from_array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dynamic, A::Error> {
        let mut map = rhai::Map::new();
        while let Some((key, value)) = entries.next_entry_seed(Key, self)? {
            map.insert(key.into(), value);
        }
        Ok(Dynamic::from_map(map))
    }
}

/// Deserializes a key; numbers and booleans of YAML become text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_error_has_the_position_and_the_beginning_of_the_text() {
        let error = json(b"{\"a\": 1,\n \"b\": oops}").unwrap_err().to_string();
        assert!(error.contains("line 2 column 7"), "{error}");
        assert!(error.contains("the text begins with"), "{error}");
    }

    #[test]
    fn deep_nesting_and_alias_bombs_are_rejected() {
        assert!(json("[".repeat(200_000).as_bytes()).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
        }
        assert!(yaml(&bomb).is_err());
    }

    #[test]
    fn numbers_beyond_the_integer_range_become_floats() {
        assert_eq!(json(b"18446744073709551615").unwrap().as_float(), Ok(18_446_744_073_709_551_615.0));
        assert_eq!(yaml("1: one\ntrue: yes").unwrap().to_string(), r#"#{"1": "one", "true": "yes"}"#);
    }
}
