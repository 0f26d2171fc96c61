//! What outlives the process: state, timers, accepted sources, the ledger; one SQLite file in the data folder.

mod backup;
mod batch;
mod database;
mod event_deliveries;
mod history;
mod lock;
mod notes;
#[cfg(test)]
mod older;
mod outbox;
mod running;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::backup::back_up;
pub use self::outbox::{OutboxChange, OutboxRecord};
pub use self::running::{PreviousExit, RunMarker};
pub use self::state::{MAX_KEY, NamespaceSize, StateEdit};
use crate::event::TimerKey;
use crate::services::event_bus::{Emitted, EventDelivery};
use crate::services::store::batch::Prepared;
use crate::services::store::database::{Database, failed};
use crate::services::store::history::Waiting;
pub use crate::services::store::history::{OutcomeFilter, PayloadFidelity, RetentionPolicy, RunQuery, RunRecord};
use crate::services::store::lock::Lock;
use crate::services::store::notes::Notes;
use crate::services::store::running::Running;
use crate::services::store::writer::Writer;
use crate::services::timers::Timer;
use crate::value::Value;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder.
    #[error(
        "{folder} is in use by another rhaid (process {holder}): stop that one, or give this one another folder with `data` in rhaid.yaml"
    )]
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
pub enum StateChange {
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
    /// Namespace (`script:NAME` or `shared:NAMESPACE`), key, change; in order.
    pub values: Vec<(String, String, StateChange)>,
    /// Timers set.
    pub timers_set: Vec<Timer>,
    /// Timers cancelled: owner and name.
    pub timers_cancelled: Vec<(String, String)>,
    /// The timer that woke this run, now done with (only if it still has this deadline).
    pub acknowledged_timers: Vec<TimerKey>,
    /// Events told to others.
    pub emitted: Vec<Emitted>,
    /// Those events, one for each who is to hear it.
    pub event_deliveries: Vec<EventDelivery>,
    /// The event that woke this run, now done with.
    pub acknowledged_events: Vec<u64>,
}

/// A script's source as it was last accepted, with the modules it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedVersion {
    /// The script's name.
    pub script: String,
    /// Counts up from 1 with every accepted version, over restarts.
    pub version: u64,
    /// File (relative to the scripts folder) and text; the script's own first.
    pub files: Vec<(String, String)>,
}

/// What outlives the process; cheap to clone. Calls block the calling thread for as long as they say.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    shared: Arc<Shared>,
    running: Running,
    // Given back last, when the writer has ended.
    _lock: Option<Lock>,
}

/// What the writer's thread and its callers both see.
struct Shared {
    database: Database,
    ledger: Waiting,
    notes: Notes,
    /// The number of the newest event that was told.
    told: AtomicU64,
}

impl Store {
    /// Opens the store in a data folder, made with private permissions if it is not there; sets an unreadable database aside.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds the folder; [`Error::Failed`] if the folder can not be written
    /// or a newer rhaid has written the database.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let lock = Lock::hold(folder)?;
        Self::start(Database::open(&folder.join(database::FILE))?, Running::new(folder), Some(lock))
    }

    /// Opens a store that is forgotten with the process, for tests and `exec`.
    ///
    /// # Errors
    /// If the database can not be made.
    pub fn in_memory() -> Result<Self, Error> {
        Self::start(Database::in_memory()?, Running::default(), None)
    }

    /// Opens a store with a copy of the state and the timers in a data folder, which another process may have; it is forgotten with
    /// this process.
    ///
    /// # Errors
    /// If they can not be read.
    pub fn copy_of(folder: &Path) -> Result<Self, Error> {
        let database = Database::in_memory()?;
        database.copy(&folder.join(database::FILE))?;
        Self::start(database, Running::default(), None)
    }

    fn start(database: Database, running: Running, lock: Option<Lock>) -> Result<Self, Error> {
        let notes = Notes::new(database.read("notes", notes::all)?);
        let told = AtomicU64::new(database.read("events", event_deliveries::newest)?);
        let shared = Arc::new(Shared { database, ledger: Waiting::default(), notes, told });
        let writer = Writer::start(Arc::clone(&shared))?;
        writer
            .commit(|db| event_deliveries::forget_old(db).map(|()| 0).map_err(|error| failed("writing to", &error)))?;
        Ok(Self(Arc::new(Inner { writer, shared, running, _lock: lock })))
    }

    /// Says how much of the ledger is kept from now on; of what is over, the outcome that is most over its share gives way, and within
    /// it the oldest of the trigger that has most.
    pub fn set_retention(&self, keep: RetentionPolicy) {
        self.0.shared.ledger.keep(keep);
    }

    /// Returns a value.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn value(&self, space: &str, key: &str) -> Result<Option<Value>, Error> {
        self.0.shared.database.read("a value", |db| batch::value(db, space, key))
    }

    /// Returns a space's keys in order.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn keys(&self, space: &str) -> Result<Vec<String>, Error> {
        self.0.shared.database.read("keys", |db| batch::keys(db, space))
    }

    /// Makes a batch durable; batches that come together share one commit. Blocks the calling thread until it is on disk.
    ///
    /// Of one timer, `acknowledged_timers` counts first, then `timers_cancelled`, then `timers_set`.
    /// What was emitted is the bus's to tell, after this.
    ///
    /// # Errors
    /// If it is not on disk; then none of it is: something was added to what is no number, a value nests too deeply, or the disk
    /// says no. Later commits may work again.
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let prepared = Prepared::new(batch)?;
        if prepared.is_empty() {
            return Ok(());
        }
        self.0.writer.commit(move |db| prepared.apply(db).map(|()| 0)).map(|_| ())
    }

    /// Returns every timer that is set.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn timers(&self) -> Result<Vec<Timer>, Error> {
        self.0.shared.database.read("timers", batch::timers)
    }

    /// Returns a timer, if it is set.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn timer(&self, owner: &str, name: &str) -> Result<Option<Timer>, Error> {
        self.0.shared.database.read("a timer", |db| batch::timer(db, owner, name))
    }

    /// Puts an end to a timer if it still has this deadline. Does not wait for the disk.
    pub fn acknowledge_timer(&self, key: &TimerKey) {
        self.0.shared.notes.settle(key.clone());
        self.0.writer.wake();
    }

    /// Keeps an accepted version; returns its version number. The same files as last time keep their number.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn accept_version(&self, script: &str, files: &[(String, String)]) -> Result<u64, Error> {
        if let Some(last) = self.accepted_version(script)?
            && last.files == files
        {
            return Ok(last.version);
        }
        let (script, files) = (script.to_owned(), sources::encoded(files));
        self.0
            .writer
            .commit(move |db| sources::accept(db, &script, &files).map_err(|error| failed("writing to", &error)))
    }

    /// Returns the last accepted version of a script.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn accepted_version(&self, script: &str) -> Result<Option<AcceptedVersion>, Error> {
        self.0.shared.database.read("a script", |db| sources::accepted(db, script))
    }

    /// Forgets the accepted version of a script that was removed; if it ever comes back, its versions count on.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn forget_version(&self, script: &str) -> Result<(), Error> {
        let script = script.to_owned();
        let forget = move |db: &Connection| sources::forget(db, &script).map_err(|error| failed("writing to", &error));
        self.0.writer.commit(forget).map(|_| ())
    }

    /// Returns a number for an event that is about to be told.
    pub fn next_event_number(&self) -> u64 {
        self.0.shared.told.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the events that have yet to have their effect, in order.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn event_deliveries(&self) -> Result<Vec<EventDelivery>, Error> {
        self.0.shared.database.read("events", event_deliveries::all)
    }

    /// Forgets an event that is done with. Does not wait for the disk.
    pub fn acknowledge_event(&self, number: u64) {
        self.0.shared.notes.settle_told(number);
        self.0.writer.wake();
    }

    /// Makes changes to the messages of a box, in order; returns when they are on disk.
    ///
    /// # Errors
    /// If they are not on disk; then none of them is.
    pub async fn update_outbox(&self, name: &str, changes: Vec<OutboxChange>) -> Result<(), Error> {
        let name = name.to_owned();
        let work =
            move |db: &Connection| changes.iter().try_for_each(|change| outbox::change(db, &name, change)).map(|()| 0);
        let (done, outcome) = oneshot::channel();
        let work = move |db: &Connection| work(db).map_err(|error| failed("writing to", &error));
        self.0.writer.begin(work, move |what| drop(done.send(what)));
        outcome.await.unwrap_or_else(|_| Err(Error::Failed("the store has stopped".into()))).map(|_| ())
    }

    /// Returns the messages of a box, in order.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn outbox(&self, name: &str) -> Result<Vec<OutboxRecord>, Error> {
        self.0.shared.database.read("messages", |db| outbox::all(db, name))
    }

    /// Keeps a small fact of rhaid's own under a key (`disabled:NAME`, `last:TRIGGER`, …); `None` takes it away. Does not wait for the disk.
    pub fn set_metadata(&self, key: &str, value: Option<Value>) {
        self.0.shared.notes.put(key, value);
        self.0.writer.wake();
    }

    /// Returns a small fact of rhaid's own, also one that is not on disk yet.
    pub fn metadata(&self, key: &str) -> Option<Value> {
        self.0.shared.notes.find(key)
    }

    /// Adds a row to the ledger without waiting; drops the dullest rows when it can not keep up.
    pub fn record(&self, row: RunRecord) {
        if self.0.shared.ledger.push(row) {
            self.0.writer.wake();
        }
    }

    /// Lists rows of the ledger, newest first, also those that are not on disk yet; waits for the disk a little.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn runs(&self, query: &RunQuery) -> Result<Vec<RunRecord>, Error> {
        self.flush();
        let limit = if query.limit == 0 { 50 } else { query.limit };
        // Rows stay in memory only while the disk says no; they are newer than all that is on it.
        let mut rows = self.0.shared.ledger.newest(query, limit);
        let left = limit - rows.len();
        rows.extend(self.0.shared.database.read("the run history", |db| history::list(db, query, left))?);
        Ok(rows)
    }

    /// Returns the newest row of the ledger whose id is this or ends with it, also one that is not on disk yet.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn run(&self, id: &str) -> Result<Option<RunRecord>, Error> {
        self.flush();
        match self.0.shared.ledger.find(id) {
            Some(row) => Ok(Some(row)),
            None => self.0.shared.database.read("the run history", |db| history::find(db, id)),
        }
    }

    /// Writes everything that waits to disk; blocks until it is there.
    pub fn flush(&self) {
        self.0.writer.flush();
    }
}
