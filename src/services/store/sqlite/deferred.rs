//! Metadata (the table `note`) and deferred acknowledgements.

use rusqlite::Connection;

use crate::services::store::sqlite::{decode, events, timers};
use crate::services::store::storage::DeferredWrites;
use crate::value::{Map, map_of};

/// Applies deferred writes.
pub(super) fn apply(db: &Connection, writes: &DeferredWrites) -> rusqlite::Result<()> {
    for (key, value) in &writes.metadata {
        match value {
            Some(value) => db
                .prepare_cached("INSERT OR REPLACE INTO note (key, value) VALUES (?1, ?2)")?
                .execute([key, &value.to_stored_text()]),
            None => db.prepare_cached("DELETE FROM note WHERE key = ?1")?.execute([key]),
        }?;
    }
    writes.acknowledged_events.iter().try_for_each(|number| events::delete(db, *number))?;
    writes.acknowledged_timers.iter().try_for_each(|key| timers::acknowledge(db, key))
}

/// Reads all metadata. Entries that cannot be decoded are left out.
pub(super) fn metadata(db: &Connection) -> rusqlite::Result<Map> {
    let mut statement = db.prepare("SELECT key, value FROM note")?;
    let entries = statement.query_map([], |row| Ok((row.get(0)?, decode::value(row, 1).ok())))?;
    let entries = entries.filter_map(|entry| entry.map(|(key, value)| Some((key, value?))).transpose());
    entries.collect::<Result<Vec<_>, _>>().map(map_of)
}
