//! Approximate memory use of values.

use crate::value::Value;

/// Memory of a map entry besides its key and value, in bytes.
const ENTRY: usize = 64;

/// Returns about how many bytes of memory a namespace takes besides its entries.
pub(super) fn namespace_weight(namespace: &str) -> usize {
    2 * ENTRY + namespace.len()
}

/// Returns about how many bytes of memory an entry of a namespace takes.
pub(super) fn entry_weight(key: &str, value: &Value) -> usize {
    ENTRY + key.len() + value_weight(value)
}

/// Returns about how many bytes of memory a value takes.
pub(super) fn value_weight(value: &Value) -> usize {
    32 + match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(value_weight).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + value_weight(value)).sum(),
        _ => 0,
    }
}
