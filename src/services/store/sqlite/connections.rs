//! Connections of the database: one that writes, and a pool of readers.

use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use crate::services::store::error::Error;
use crate::services::store::sqlite::error::failed;
use crate::services::store::sqlite::history::HistoryUsage;
use crate::services::store::sqlite::open::{open_or_replace, open_reader};
use crate::services::store::sqlite::schema::migrate;
use crate::services::store::storage::Durability;

/// The largest number of idle connections for reading.
const MAX_IDLE: usize = 4;

/// Number of prepared statements that the writer keeps; it has fewer.
const MAX_STATEMENTS: usize = 64;

/// Connections of one database.
pub(super) struct Connections {
    /// `None` for a database in memory, where all share one connection. Closed before the writer: SQLite removes its side files only
    /// when the last connection that closes can write.
    readers: Option<(PathBuf, Mutex<Vec<Connection>>)>,
    writer: Mutex<WriteConnection>,
}

/// Connection for writing.
pub(super) struct WriteConnection {
    pub(super) db: Connection,
    /// Size of the run history as of the last transaction.
    pub(super) usage: HistoryUsage,
    /// Durability to which the connection is set.
    pub(super) durability: Option<Durability>,
}

impl WriteConnection {
    fn new(db: Connection) -> Self {
        db.set_prepared_statement_cache_capacity(MAX_STATEMENTS);
        Self { db, usage: HistoryUsage::default(), durability: None }
    }
}

impl Connections {
    /// Opens a database file, and creates it if it does not exist.
    ///
    /// # Errors
    /// If it can neither be opened nor created, or was written by a newer rhaid.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let writer = WriteConnection::new(open_or_replace(path)?);
        Ok(Self { writer: Mutex::new(writer), readers: Some((path.to_owned(), Mutex::default())) })
    }

    /// Creates a database in memory.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn in_memory() -> Result<Self, Error> {
        let mut db = Connection::open_in_memory().map_err(|error| failed("opening", &error))?;
        migrate(&mut db, 0).map_err(|error| failed("opening", &error))?;
        Ok(Self { writer: Mutex::new(WriteConnection::new(db)), readers: None })
    }

    /// Returns the connection for writing.
    pub(super) fn writer(&self) -> MutexGuard<'_, WriteConnection> {
        self.writer.lock()
    }

    /// Reads on a connection of the pool, which does not block on the writer.
    ///
    /// # Errors
    /// If reading fails; `subject` names the data.
    pub(super) fn read<T>(
        &self,
        subject: &str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let convert = |error| failed(&format!("reading {subject} from"), &error);
        let Some((path, idle)) = &self.readers else {
            return read(&self.writer().db).map_err(convert);
        };
        let pooled = idle.lock().pop();
        let reader = pooled.map_or_else(|| open_reader(path), Ok).map_err(convert)?;
        let found = read(&reader).map_err(convert);
        let mut idle = idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(reader);
        }
        found
    }
}
