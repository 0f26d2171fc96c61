//! What the ledger keeps of an event's facts: secrets hidden, long values cut.

use crate::runtime::journal::shorten;
use crate::secrets::Mask;
use crate::value::{Map, Value};

/// How much of one text or blob is kept.
const LONGEST: usize = 2_000;
/// How many entries of one list or map are kept.
const ENTRIES: usize = 100;
/// How deep values are kept.
const DEPTH: usize = 8;

/// Returns what is kept of an event's facts.
pub(super) fn kept(facts: &Map, mask: &Mask) -> Value {
    Value::Map(map(facts, mask, 0))
}

fn value(whole: &Value, mask: &Mask, depth: usize) -> Value {
    match whole {
        _ if depth > DEPTH => Value::from("…"),
        Value::Text(text) => Value::Text(shorten(mask.apply(text).into_owned(), LONGEST)),
        // Bytes can hide a secret that the mask does not see; the text beside them has been masked.
        Value::Bytes(bytes) => Value::Text(format!("{} bytes", bytes.len())),
        Value::List(items) => {
            Value::List(items.iter().take(ENTRIES).map(|item| value(item, mask, depth + 1)).collect())
        }
        Value::Map(entries) => Value::Map(map(entries, mask, depth)),
        scalar => scalar.clone(),
    }
}

fn map(entries: &Map, mask: &Mask, depth: usize) -> Map {
    let kept = entries.iter().take(ENTRIES);
    kept.map(|(key, entry)| (mask.apply(key).into_owned(), value(entry, mask, depth + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn secrets_are_hidden_and_long_texts_cut() {
        let facts = Map::from([
            ("token".into(), Value::from("Bearer s3cret")),
            ("text".into(), Value::from("é".repeat(LONGEST + 1))),
            ("bytes".into(), Value::Bytes(b"s3cret".to_vec())),
        ]);
        let Value::Map(kept) = kept(&facts, &Mask::new([Secret::new("s3cret")])) else { panic!("a map") };
        assert_eq!(kept["token"], Value::from("Bearer ***"));
        assert_eq!(kept["text"].as_text().map(|text| text.chars().count()), Some(LONGEST + 1));
        assert_eq!(kept["bytes"], Value::from("6 bytes"));
    }
}
