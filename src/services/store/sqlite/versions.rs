//! Accepted versions of scripts: the table `source`.

use rusqlite::{Connection, OptionalExtension as _};

use crate::services::store::model::AcceptedVersion;
use crate::services::store::sqlite::decode::unreadable;

/// Stores a version in the place of the one before; returns its number.
pub(super) fn accept(db: &Connection, script: &str, files: &[(String, String)]) -> rusqlite::Result<u64> {
    let files: serde_json::Value = files.iter().map(|(name, text)| serde_json::json!([name, text])).collect();
    db.prepare_cached(
        "INSERT INTO source (script, version, files) VALUES (?1, 1, ?2)
         ON CONFLICT (script) DO UPDATE SET version = version + 1, files = ?2 RETURNING version",
    )?
    .query_row([script, &files.to_string()], |row| row.get(0).map(i64::cast_unsigned))
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

/// Deletes the files of a version. The number stays, so that no number is used for two versions.
pub(super) fn forget(db: &Connection, script: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE source SET files = NULL WHERE script = ?1")?.execute([script]).map(|_| ())
}
