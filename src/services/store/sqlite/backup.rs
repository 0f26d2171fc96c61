//! Backup of the database while it is in use.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::services::store::error::Error;
use crate::services::store::lock::private;
use crate::services::store::sqlite::error::{FILE, failed};
use crate::services::store::sqlite::open::is_foreign;

/// Copies a snapshot of the database of a data folder to a file that only its owner can read; returns its size in bytes.
///
/// A rhaid that runs on the folder is not interrupted. The copy is a database without side files; it replaces an older copy only when
/// it is complete and on disk.
///
/// # Errors
/// If there is no database yet, the target is a file that is not an older copy, or the disk fails.
///
/// Source: <https://www.sqlite.org/lang_vacuum.html>, "VACUUM with an INTO clause": a consistent copy of a live database, not synced.
pub fn back_up(folder: &Path, target: &Path) -> Result<u64, Error> {
    let source = folder.join(FILE);
    if !source.is_file() {
        return Err(Error::Failed(format!("there is no database in {} yet", folder.display())));
    }
    if target.is_dir() {
        return Err(Error::Failed(format!("{} is a folder: name a file in it", target.display())));
    }
    if target.exists() && is_foreign(target) {
        return Err(Error::Failed(format!("{} is not a copy of a database: it is not overwritten", target.display())));
    }
    let part = beside(target);
    let copied = copy(&source, &part)
        .and_then(|size| fs::rename(&part, target).map(|()| size).map_err(|error| not_written(target, &error)));
    if copied.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&part);
    }
    copied
}

fn copy(source: &Path, part: &Path) -> Result<u64, Error> {
    let failed_write = |error| not_written(part, &error);
    private(OpenOptions::new().write(true).create(true).truncate(true)).open(part).map_err(failed_write)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(source, flags).map_err(|error| failed("opening", &error))?;
    db.busy_timeout(Duration::from_secs(30)).map_err(|error| failed("opening", &error))?;
    let name = part.to_str().ok_or_else(|| Error::Failed(format!("{} is not a UTF-8 path", part.display())))?;
    db.execute("VACUUM INTO ?1", [name]).map_err(|error| failed("copying", &error))?;
    drop(db);
    let written = File::open(part).map_err(failed_write)?;
    written.sync_all().map_err(failed_write)?;
    written.metadata().map(|about| about.len()).map_err(failed_write)
}

fn not_written(file: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("{} cannot be written: {error}", file.display()))
}

fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
