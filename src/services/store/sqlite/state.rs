//! State: the table `state`.

use rusqlite::{Connection, OptionalExtension as _};

use crate::services::store::model::NamespaceSize;
use crate::services::store::sqlite::decode;
use crate::services::store::weight::entry_weight;
use crate::value::{Map, Value};

/// Reads a value.
pub(super) fn value(db: &Connection, namespace: &str, key: &str) -> rusqlite::Result<Option<Value>> {
    db.prepare_cached("SELECT value FROM state WHERE space = ?1 AND key = ?2")?
        .query_row([namespace, key], |row| decode::value(row, 0))
        .optional()
}

/// Reads the keys of a namespace in order.
pub(super) fn keys(db: &Connection, namespace: &str) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT key FROM state WHERE space = ?1 ORDER BY key")?
        .query_map([namespace], |row| row.get(0))?
        .collect()
}

/// Reads a namespace; `None` if its entries weigh more than `max_bytes`.
pub(super) fn namespace(db: &Connection, namespace: &str, max_bytes: usize) -> rusqlite::Result<Option<Map>> {
    let mut statement = db.prepare_cached("SELECT key, value FROM state WHERE space = ?1")?;
    let mut rows = statement.query([namespace])?;
    let (mut values, mut bytes) = (Map::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let (key, value): (String, Value) = (row.get(0)?, decode::value(row, 1)?);
        bytes = bytes.saturating_add(entry_weight(&key, &value));
        if bytes > max_bytes {
            return Ok(None);
        }
        values.insert(key, value);
    }
    Ok(Some(values))
}

/// Reads the sizes of all namespaces, by name.
pub(super) fn namespaces(db: &Connection) -> rusqlite::Result<Vec<NamespaceSize>> {
    let bytes = "sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB)))";
    db.prepare(&format!("SELECT space, count(*), {bytes} FROM state GROUP BY space ORDER BY space"))?
        .query_map([], |row| {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            Ok(NamespaceSize { name: row.get(0)?, values: number(1)?, bytes: number(2)? })
        })?
        .collect()
}

/// Sets a value to stored text.
pub(super) fn set(db: &Connection, namespace: &str, key: &str, text: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO state (space, key, value) VALUES (?1, ?2, ?3)")?
        .execute([namespace, key, text])
        .map(|_| ())
}

/// Removes a value.
pub(super) fn remove(db: &Connection, namespace: &str, key: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM state WHERE space = ?1 AND key = ?2")?.execute([namespace, key]).map(|_| ())
}
