//! Opens the database file: migrates it, checks it, and replaces it if it cannot be read.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::services::clock::Clock;
use crate::services::store::error::Error;
use crate::services::store::lock::private;
use crate::services::store::sqlite::error::reason;
use crate::services::store::sqlite::schema::{CHECKED_TABLES, MIGRATIONS, migrate};

/// Reason for which a file could not be opened.
enum OpenError {
    /// Its content is not a readable database.
    Unreadable(String),
    /// Any other reason.
    Other(Error),
}

/// Opens the database for writing, and creates it if it does not exist. A file that cannot be read is renamed, never deleted.
///
/// # Errors
/// If it can neither be opened nor created, or was written by a newer rhaid.
pub(super) fn open_or_replace(path: &Path) -> Result<Connection, Error> {
    let opened = match open_file(path) {
        Err(OpenError::Unreadable(why)) => {
            let renamed = rename_unreadable(path)?;
            tracing::warn!(
                why,
                kept_as = %renamed.display(),
                "the database cannot be read: it was renamed, and rhaid starts with a new one, without state and timers"
            );
            open_file(path)
        }
        opened => opened,
    };
    opened.map_err(|error| match error {
        OpenError::Unreadable(why) => Error::Failed(format!("{} cannot be read: {why}", path.display())),
        OpenError::Other(error) => error,
    })
}

/// Opens a database for reading.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(Duration::from_secs(5))?;
    reader.pragma_update(None, "cache_size", -512)?;
    Ok(reader)
}

fn open_file(path: &Path) -> Result<Connection, OpenError> {
    if path.is_dir() {
        return Err(OpenError::Unreadable("it is a folder".into()));
    }
    if is_foreign(path) {
        return Err(OpenError::Unreadable("it is not a database".into()));
    }
    // SQLite creates its side files with the permissions of the main one.
    private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path).map_err(|error| {
        OpenError::Other(Error::Failed(format!("{} cannot be opened for writing: {error}", path.display())))
    })?;
    prepare(path).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
            OpenError::Unreadable(error.to_string())
        }
        _ => OpenError::Other(Error::Failed(format!("{} cannot be opened: {}", path.display(), reason(&error)))),
    })?
}

/// Returns whether a file has content that does not start like a database; SQLite would overwrite a short one.
///
/// Source: <https://www.sqlite.org/fileformat2.html>, "The Database Header".
pub(super) fn is_foreign(path: &Path) -> bool {
    let mut start = [0; 16];
    let Ok(mut file) = File::open(path) else { return false };
    match file.read_exact(&mut start) {
        Ok(()) => start != *b"SQLite format 3\0",
        Err(_) => file.metadata().is_ok_and(|metadata| metadata.len() > 0),
    }
}

/// Configures a connection, migrates the tables and checks them.
fn prepare(path: &Path) -> rusqlite::Result<Result<Connection, OpenError>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "cache_size", -1024)?;
    db.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(known) = usize::try_from(version).ok().filter(|version| *version <= MIGRATIONS.len()) else {
        let text = format!(
            "{} was written by a newer rhaid (tables of version {version}, this one knows {}): update rhaid, or give another data folder",
            path.display(),
            MIGRATIONS.len()
        );
        return Ok(Err(OpenError::Other(Error::Failed(text))));
    };
    migrate(&mut db, known)?;
    for table in CHECKED_TABLES {
        let verdict: String = db.query_row(&format!("PRAGMA quick_check({table})"), [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Err(OpenError::Unreadable(verdict)));
        }
    }
    // Fails if the table of the run history lacks a column.
    db.prepare("SELECT seq, class, data FROM run")?;
    Ok(Ok(db))
}

/// Renames the database file and its side files; returns the new name.
fn rename_unreadable(path: &Path) -> Result<PathBuf, Error> {
    let stamp = Clock::system(TimeZone::UTC).now_zoned().strftime("%Y%m%dT%H%M%SZ").to_string();
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let renamed = (0..)
        .map(|again| if again == 0 { stamp.clone() } else { format!("{stamp}-{again}") })
        .map(|stamp| named(&format!(".unreadable-{stamp}")))
        .find(|renamed| !renamed.exists())
        .unwrap_or_else(|| named(".unreadable"));
    let failed = |error| Error::Failed(format!("{} can be neither read nor renamed: {error}", path.display()));
    fs::rename(path, &renamed).map_err(failed)?;
    for suffix in ["-wal", "-shm"] {
        let mut target = renamed.as_os_str().to_owned();
        target.push(suffix);
        match fs::rename(named(suffix), target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(renamed)
}
