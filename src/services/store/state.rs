//! State as a person sees it: which spaces there are, what is in one, and edits by hand.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::services::store::batch::decoded;
use crate::services::store::{Batch, Error, StateChange, Store};
use crate::value::{Map, Value, map_of};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 1_024;

/// A space of state that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSize {
    /// `script:NAME` or `shared:NAMESPACE`.
    pub name: String,
    /// How many values it holds.
    pub values: u64,
    /// How many bytes they take as JSON, with their keys.
    pub bytes: u64,
}

/// An edit by hand; it takes effect together or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateEdit {
    /// Spaces that lose what is not set here.
    pub cleared: Vec<String>,
    /// Namespace, key and value; nothing takes the value away.
    pub values: Vec<(String, String, Value)>,
}

impl Store {
    /// Returns the spaces that hold something, by name.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn namespaces(&self) -> Result<Vec<NamespaceSize>, Error> {
        self.0.shared.database.read("state", spaces)
    }

    /// Returns all values of a space.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn values(&self, space: &str) -> Result<BTreeMap<String, Value>, Error> {
        self.0.shared.database.read("state", |db| values(db, space))
    }

    /// Edits state; scripts see it from their next reading on. Blocks until it is on disk.
    ///
    /// # Errors
    /// If a space or a key is none, or as [`Store::commit`].
    pub fn edit(&self, edit: &StateEdit) -> Result<(), Error> {
        let mut changes = Vec::new();
        for space in &edit.cleared {
            check(space, "")?;
            let keys = self.keys(space)?;
            changes.extend(keys.into_iter().map(|key| (space.clone(), key, StateChange::Remove)));
        }
        for (space, key, value) in &edit.values {
            check(space, key)?;
            let change = if *value == Value::Null { StateChange::Remove } else { StateChange::Set(value.clone()) };
            changes.push((space.clone(), key.clone(), change));
        }
        self.commit(&Batch { values: changes, ..Batch::default() })
    }
}

fn check(space: &str, key: &str) -> Result<(), Error> {
    let name = space.strip_prefix("script:").or_else(|| space.strip_prefix("shared:"));
    if name.is_none_or(str::is_empty) {
        return Err(Error::Failed(format!("{space:?} is no space: write `script:NAME` or `shared:NAMESPACE`")));
    }
    if key.len() > MAX_KEY {
        return Err(Error::Failed(format!("a key has at most {MAX_KEY} bytes, not {}", key.len())));
    }
    Ok(())
}

fn spaces(db: &Connection) -> rusqlite::Result<Vec<NamespaceSize>> {
    let sizes = "sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB)))";
    db.prepare(&format!("SELECT space, count(*), {sizes} FROM state GROUP BY space ORDER BY space"))?
        .query_map([], |row| {
            let count = |column| row.get(column).map(i64::cast_unsigned);
            Ok(NamespaceSize { name: row.get(0)?, values: count(1)?, bytes: count(2)? })
        })?
        .collect()
}

fn values(db: &Connection, space: &str) -> rusqlite::Result<Map> {
    db.prepare_cached("SELECT key, value FROM state WHERE space = ?1")?
        .query_map([space], |row| Ok((row.get(0)?, decoded(row, 1)?)))?
        .collect::<Result<Vec<_>, _>>()
        .map(map_of)
}
