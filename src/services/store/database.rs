//! The database file: opened, brought up to date, set aside when unreadable.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::services::clock::Clock;
use crate::services::store::Error;
use crate::services::store::lock::private;

/// The file's name in the data folder.
pub(super) const FILE: &str = "rhaid.db";

/// What leads from each version of the tables to the next; the version stands in the file's `user_version`. Only ever added to.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE state (space TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE timer (owner TEXT, name TEXT, due TEXT NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (owner, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE source (script TEXT PRIMARY KEY, version INTEGER NOT NULL, files TEXT) STRICT, WITHOUT ROWID;
    CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE run (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, script TEXT NOT NULL, version INTEGER NOT NULL,
        trigger TEXT NOT NULL, event TEXT NOT NULL, facts TEXT NOT NULL, queued INTEGER NOT NULL, started INTEGER,
        ended INTEGER NOT NULL, class INTEGER NOT NULL, outcome TEXT NOT NULL, why TEXT, effects TEXT NOT NULL) STRICT;
    CREATE INDEX run_script ON run (script);
    CREATE INDEX run_class ON run (class);
    CREATE INDEX run_failed ON run (script) WHERE class = 2;
", "
    ALTER TABLE run ADD COLUMN kept TEXT NOT NULL DEFAULT 'cut';
    ALTER TABLE run ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    UPDATE run SET size = 120 + 2 * length(script || trigger) + length(id || event || facts || effects || coalesce(why, ''));
    DROP INDEX run_script;
    DROP INDEX run_class;
    DROP INDEX run_failed;
    CREATE INDEX run_lane ON run (script, trigger, class, seq, size);
    CREATE INDEX run_failed ON run (class) WHERE class = 2;
",
    "
    CREATE TABLE letter (box TEXT NOT NULL, number INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties TEXT NOT NULL, packet INTEGER,
        received INTEGER NOT NULL, PRIMARY KEY (box, number)) STRICT;
",
    "
    CREATE TABLE told (number INTEGER PRIMARY KEY, listener TEXT NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL,
        data TEXT NOT NULL, sender TEXT NOT NULL, hops INTEGER NOT NULL, since INTEGER NOT NULL) STRICT;
",
];

/// What must be there in a database of the newest version, to be read in full at every start but for the ledger.
const TABLES: &[&str] = &["state", "timer", "source", "note", "letter", "told"];

/// At most so many idle connections for reading.
const MAX_IDLE: usize = 4;

/// The database: one connection that writes, and as many that read as there are readers at once.
pub(super) struct Database {
    /// `None`: in memory, where all share one connection. Closed first: only a writer that is alone tidies up.
    readers: Option<(PathBuf, Mutex<Vec<Connection>>)>,
    writer: Mutex<Connection>,
}

/// Why a file could not be opened.
enum Trouble {
    /// Its content makes no sense: it is set aside.
    Unreadable(String),
    /// Anything else: it stays where it is.
    Other(Error),
}

impl Database {
    /// Opens the database in a file, a fresh one if there is none; one that is unreadable is renamed, never deleted.
    ///
    /// # Errors
    /// If it can neither be opened nor made anew, or is of a newer version.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let writer = match open_file(path) {
            Err(Trouble::Unreadable(why)) => {
                let aside = set_aside(path)?;
                tracing::warn!(
                    why,
                    kept_as = %aside.display(),
                    "the database can not be read: it is set aside, and rhaid starts with a fresh one, without state and timers"
                );
                open_file(path)
            }
            opened => opened,
        };
        let writer = writer.map_err(|trouble| match trouble {
            Trouble::Unreadable(why) => Error::Failed(format!("{} can not be read: {why}", path.display())),
            Trouble::Other(error) => error,
        })?;
        Ok(Self { writer: Mutex::new(writer), readers: Some((path.to_owned(), Mutex::default())) })
    }

    /// Makes a database in memory.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn in_memory() -> Result<Self, Error> {
        let mut writer = Connection::open_in_memory().map_err(|error| failed("opening", &error))?;
        migrate(&mut writer, 0).map_err(|error| failed("opening", &error))?;
        Ok(Self { writer: Mutex::new(writer), readers: None })
    }

    /// Takes over the state and the timers of a file, if it is there.
    ///
    /// # Errors
    /// If it can not be read.
    pub(super) fn copy(&self, path: &Path) -> Result<(), Error> {
        if !path.exists() {
            return Ok(());
        }
        // A file that was left by a kill is put in order by who opens it, which needs more than reading.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let copy = || {
            let from = Connection::open_with_flags(path, flags)?;
            from.busy_timeout(Duration::from_secs(5))?;
            let to = self.writer();
            for (table, columns) in [("state", "space, key, value"), ("timer", "owner, name, due, data")] {
                let count = columns.split(',').count();
                let places = vec!["?"; count].join(", ");
                let mut put = to.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({places})"))?;
                let mut found = from.prepare(&format!("SELECT {columns} FROM {table}"))?;
                let mut rows = found.query([])?;
                while let Some(row) = rows.next()? {
                    let row: Vec<String> = (0..count).map(|column| row.get(column)).collect::<Result<_, _>>()?;
                    put.execute(rusqlite::params_from_iter(row))?;
                }
            }
            Ok(())
        };
        copy().map_err(|error| failed("reading", &error))
    }

    /// Returns whether it is forgotten with the process.
    pub(super) fn is_in_memory(&self) -> bool {
        self.readers.is_none()
    }

    /// Returns the connection that writes.
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock()
    }

    /// Reads through a connection that waits for no writer.
    ///
    /// # Errors
    /// If reading says so; `what` was to be read.
    pub(super) fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let worded = |error| failed(&format!("reading {what} from"), &error);
        let Some((path, idle)) = &self.readers else {
            return read(&self.writer()).map_err(worded);
        };
        let known = idle.lock().pop();
        let reader = known.map_or_else(|| open_reader(path), Ok).map_err(worded)?;
        let found = read(&reader).map_err(worded);
        let mut idle = idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(reader);
        }
        found
    }
}

/// Puts a database error in words, after what was being done: `writing to`, `reading a value from`.
pub(super) fn failed(doing: &str, error: &rusqlite::Error) -> Error {
    Error::Failed(format!("{doing} {FILE}: {}", reason(error)))
}

fn reason(error: &rusqlite::Error) -> String {
    let is_out_of_room = error.sqlite_error().is_some_and(|error| error.extended_code == NO_ROOM_TO_SHARE);
    match error.sqlite_error_code() {
        _ if is_out_of_room => "the disk is full".to_owned(),
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the disk or the file is read-only".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program keeps it locked".to_owned(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk has a fault: {error}"),
        _ => error.to_string(),
    }
}

/// Source: <https://www.sqlite.org/rescode.html>, SQLITE_IOERR_SHMSIZE.
const NO_ROOM_TO_SHARE: i32 = 4874;

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(Duration::from_secs(5))?;
    reader.pragma_update(None, "cache_size", -512)?;
    Ok(reader)
}

fn open_file(path: &Path) -> Result<Connection, Trouble> {
    if path.is_dir() {
        return Err(Trouble::Unreadable("it is a folder".into()));
    }
    if is_foreign(path) {
        return Err(Trouble::Unreadable("it is no database".into()));
    }
    // SQLite gives its side files the permissions of the main one.
    private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path).map_err(|error| {
        Trouble::Other(Error::Failed(format!("{} can not be opened for writing: {error}", path.display())))
    })?;
    prepare(path).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
            Trouble::Unreadable(error.to_string())
        }
        _ => Trouble::Other(Error::Failed(format!("{} can not be opened: {}", path.display(), reason(&error)))),
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

fn prepare(path: &Path) -> rusqlite::Result<Result<Connection, Trouble>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "cache_size", -1024)?;
    db.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(known) = usize::try_from(version).ok().filter(|version| *version <= MIGRATIONS.len()) else {
        let words = format!(
            "{} was written by a newer rhaid (tables of version {version}, this one knows {}): update rhaid, or give another data folder",
            path.display(),
            MIGRATIONS.len()
        );
        return Ok(Err(Trouble::Other(Error::Failed(words))));
    };
    migrate(&mut db, known)?;
    for table in TABLES {
        let verdict: String = db.query_row(&format!("PRAGMA quick_check({table})"), [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Err(Trouble::Unreadable(verdict)));
        }
    }
    db.prepare("SELECT seq, class, size FROM run")?;
    Ok(Ok(db))
}

fn migrate(db: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (version, step) in MIGRATIONS.iter().enumerate().skip(from) {
        let transaction = db.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Renames the file and what belongs to it; returns the new name.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let stamp = Clock::system(TimeZone::UTC).now_zoned().strftime("%Y%m%dT%H%M%SZ").to_string();
    let named = |tail: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        PathBuf::from(name)
    };
    let aside = (0..)
        .map(|again| if again == 0 { stamp.clone() } else { format!("{stamp}-{again}") })
        .map(|stamp| named(&format!(".unreadable-{stamp}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| named(".unreadable"));
    let failed = |error| Error::Failed(format!("{} can not be read nor renamed: {error}", path.display()));
    fs::rename(path, &aside).map_err(failed)?;
    for tail in ["-wal", "-shm"] {
        let mut kept = aside.as_os_str().to_owned();
        kept.push(tail);
        match fs::rename(named(tail), kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}
