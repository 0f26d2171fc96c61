//! What outlives the process: state, timers, accepted sources, the ledger; one SQLite file in the data folder.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::TimerKey;
use crate::services::bus::Emitted;
use crate::services::timers::Timer;
use crate::value::Value;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder.
    #[error("{folder} is in use by another rhaid (process {holder})")]
    InUse {
        /// The data folder.
        folder: String,
        /// The other's process id.
        holder: String,
    },
    /// The disk or the database said no.
    #[error("{0}")]
    Failed(String),
}

/// A change to one value of one space.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Puts a value.
    Set(Value),
    /// Adds to a number (0 if there is none), whatever other runs did meanwhile.
    Add(Value),
    /// Takes the value away.
    Remove,
}

/// What one run did to what outlives it; it takes effect together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Space (`script:NAME` or `shared:NAMESPACE`), key, change; in order.
    pub values: Vec<(String, String, Change)>,
    /// Timers set.
    pub timers_set: Vec<Timer>,
    /// Timers cancelled: owner and name.
    pub timers_cancelled: Vec<(String, String)>,
    /// The timer that woke this run, now done with (only if it still has this deadline).
    pub timers_done: Vec<TimerKey>,
    /// Events told to others.
    pub emitted: Vec<Emitted>,
}

/// A script's source as it was last accepted, with the modules it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The script's name.
    pub script: String,
    /// Counts up from 1 with every accepted version, over restarts.
    pub version: u64,
    /// File (relative to the scripts folder) and text; the script's own first.
    pub files: Vec<(String, String)>,
}

/// A row of the ledger: an event and what became of it for one handler.
#[derive(Debug, Clone)]
pub struct Row {
    /// The run's id.
    pub id: String,
    /// The script's name.
    pub script: String,
    /// Its version.
    pub version: u64,
    /// The trigger's name.
    pub trigger: String,
    /// What woke it, in a line.
    pub event: String,
    /// What woke it, as far as the size limit lets it be kept.
    pub facts: Value,
    /// When it happened.
    pub queued: Timestamp,
    /// When the run started, if it did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: String,
    /// Why, if not `succeeded`: the fault's report or the reason of the skip.
    pub why: Option<String>,
    /// What the run did and logged, in order.
    pub effects: Vec<String>,
}

/// Which rows of the ledger to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only this script's.
    pub script: Option<String>,
    /// Only those that failed or timed out.
    pub failed: bool,
    /// At most so many, newest first; 0: 50.
    pub limit: usize,
}

/// What outlives the process; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<()>);

impl Store {
    /// Opens the store in a data folder, made with private permissions if it is not there; sets an unreadable database aside.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds the folder.
    pub fn open(_folder: &Path) -> Result<Self, Error> {
        unimplemented!()
    }

    /// Opens a store that is forgotten with the process, for tests and `exec`.
    ///
    /// # Errors
    /// If the database can not be made.
    pub fn in_memory() -> Result<Self, Error> {
        unimplemented!()
    }

    /// Returns a value.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn value(&self, _space: &str, _key: &str) -> Result<Option<Value>, Error> {
        unimplemented!()
    }

    /// Returns a space's keys in order.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn keys(&self, _space: &str) -> Result<Vec<String>, Error> {
        unimplemented!()
    }

    /// Makes a batch durable; batches that come together share one commit. Blocks the calling thread until it is on disk.
    ///
    /// # Errors
    /// If it is not on disk; then none of it is.
    pub fn commit(&self, _batch: &Batch) -> Result<(), Error> {
        unimplemented!()
    }

    /// Returns every timer that is set.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn timers(&self) -> Result<Vec<Timer>, Error> {
        unimplemented!()
    }

    /// Keeps an accepted version; returns its version number.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn accept(&self, _script: &str, _files: &[(String, String)]) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Returns the last accepted version of a script.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn accepted(&self, _script: &str) -> Result<Option<Accepted>, Error> {
        unimplemented!()
    }

    /// Forgets the accepted versions of a script that was removed.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn forget(&self, _script: &str) -> Result<(), Error> {
        unimplemented!()
    }

    /// Keeps a small fact of rhaid's own under a key (`disabled:NAME`, `last:TRIGGER`, …); `None` takes it away. Does not wait for the disk.
    pub fn note(&self, _key: &str, _value: Option<Value>) {
        unimplemented!()
    }

    /// Returns a small fact of rhaid's own, also one that is not on disk yet.
    pub fn noted(&self, _key: &str) -> Option<Value> {
        unimplemented!()
    }

    /// Adds a row to the ledger without waiting; drops the dullest rows when it can not keep up.
    pub fn record(&self, _row: Row) {
        unimplemented!()
    }

    /// Lists rows of the ledger, newest first, also those that are not on disk yet.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn rows(&self, _query: &Query) -> Result<Vec<Row>, Error> {
        unimplemented!()
    }

    /// Writes everything that waits to disk.
    pub fn flush(&self) {
        unimplemented!()
    }
}
