//! Accepted sources: the last version of each script, and how many there were.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::services::store::AcceptedVersion;
use crate::services::store::batch::unreadable;

/// Turns files into what a column holds.
pub(super) fn encoded(files: &[(String, String)]) -> String {
    files.iter().map(|(name, text)| serde_json::json!([name, text])).collect::<serde_json::Value>().to_string()
}

/// Keeps a version in the place of the one before; returns its number.
pub(super) fn accept(db: &Connection, script: &str, files: &str) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "INSERT INTO source (script, version, files) VALUES (?1, 1, ?2)
         ON CONFLICT (script) DO UPDATE SET version = version + 1, files = ?2 RETURNING version",
    )?
    .query_row([script, files], |row| row.get(0).map(i64::cast_unsigned))
}

/// Reads the last version.
pub(super) fn accepted(db: &Connection, script: &str) -> rusqlite::Result<Option<AcceptedVersion>> {
    db.prepare_cached("SELECT version, files FROM source WHERE script = ?1 AND files IS NOT NULL")?
        .query_row([script], |row| {
            let files = serde_json::from_slice(row.get_ref(1)?.as_bytes()?).map_err(|error| unreadable(1, error))?;
            Ok(AcceptedVersion { script: script.to_owned(), version: row.get(0).map(i64::cast_unsigned)?, files })
        })
        .optional()
}

/// Forgets the files; the number stays, so that no number is ever used for two versions.
pub(super) fn forget(db: &Connection, script: &str) -> rusqlite::Result<u64> {
    db.prepare_cached("UPDATE source SET files = NULL WHERE script = ?1")?.execute(params![script])?;
    Ok(0)
}
