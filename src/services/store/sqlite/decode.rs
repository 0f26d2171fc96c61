//! Decodes stored values.

use rusqlite::Row;
use rusqlite::types::Type;

use crate::value::Value;

/// Reads a value from a column.
pub(super) fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let json = row.get_ref(column)?.as_bytes()?;
    serde_json::from_slice(json).map(Value::from_stored).map_err(|error| unreadable(column, error))
}

/// Returns the error for a column whose content cannot be decoded.
pub(super) fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
