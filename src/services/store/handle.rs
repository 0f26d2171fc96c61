//! Handle on the store: commits, timers, events, outbox, versions, metadata.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::TimerKey;
use crate::services::store::commit::EncodedBatch;
use crate::services::store::deferred::Deferred;
use crate::services::store::error::Error;
use crate::services::store::lock::Lock;
use crate::services::store::model::{AcceptedVersion, Batch, EventDelivery, OutboxChange, OutboxRecord, Timer};
use crate::services::store::pending_runs::PendingRuns;
use crate::services::store::run_markers::{PreviousExit, RunMarker, RunMarkers};
use crate::services::store::run_sample::RunSample;
use crate::services::store::shared::Shared;
use crate::services::store::sqlite::SqliteStorage;
use crate::services::store::state_cache::StateCache;
use crate::services::store::storage::{Storage, Write, WriteOutcome};
use crate::services::store::writer::{Writer, WriterMode};
use crate::value::Value;

/// How long an emitted event waits for a script that listened and has not come back.
const EVENT_AGE: Duration = Duration::from_secs(7 * 86_400);

/// Handle on the store; cheap to clone. Methods that read from or wait for the database block the calling thread.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    // Dropped first: the writer ends before the database is closed and the folder unlocked.
    writer: Writer,
    shared: Arc<Shared>,
    markers: Arc<RunMarkers>,
    newest_event: AtomicU64,
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the store of a data folder, which is created with private permissions if it does not exist.
    ///
    /// A database that cannot be read is renamed and replaced by a new one.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds the folder; [`Error::Failed`] if the folder cannot be written
    /// or the database was written by a newer rhaid.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let lock = Lock::acquire(folder)?;
        let storage = SqliteStorage::open(folder)?;
        Self::start(Arc::new(storage), WriterMode::WriterThread, RunMarkers::new(folder), Some(lock))
    }

    /// Creates a store in memory, for tests and `exec`.
    ///
    /// # Errors
    /// If the database cannot be created.
    pub fn in_memory() -> Result<Self, Error> {
        Self::start(Arc::new(SqliteStorage::in_memory()?), WriterMode::Inline, RunMarkers::default(), None)
    }

    /// Creates a store in memory with a copy of the state and the timers of a data folder, which another process may hold.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn copy_of(folder: &Path) -> Result<Self, Error> {
        let storage = SqliteStorage::in_memory()?;
        storage.copy_from(folder)?;
        Self::start(Arc::new(storage), WriterMode::Inline, RunMarkers::default(), None)
    }

    pub(super) fn start(
        storage: Arc<dyn Storage>,
        mode: WriterMode,
        markers: RunMarkers,
        lock: Option<Lock>,
    ) -> Result<Self, Error> {
        let snapshot = storage.load()?;
        let shared = Arc::new(Shared {
            storage,
            runs: PendingRuns::default(),
            sample: RunSample::default(),
            deferred: Deferred::new(snapshot.metadata),
            state: StateCache::default(),
            is_scheduled: AtomicBool::default(),
        });
        let writer = Writer::start(Arc::clone(&shared), mode)?;
        writer.execute(Write::ExpireEvents { max_age: EVENT_AGE })?;
        let newest_event = AtomicU64::new(snapshot.newest_event);
        Ok(Self(Arc::new(Inner { writer, shared, markers: Arc::new(markers), newest_event, _lock: lock })))
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.0.shared.storage
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    pub(super) fn state_cache(&self) -> &StateCache {
        &self.0.shared.state
    }

    /// Commits a batch; blocks until it is on disk. Batches that arrive together share a transaction.
    ///
    /// Of one timer, `acknowledged_timers` apply first, then `timers_cancelled`, then `timers_set`. Event deliveries are stored here
    /// and delivered by the event bus afterwards.
    ///
    /// # Errors
    /// If nothing of it was committed: an amount was added to a value that is not a number, a value nests too deeply, or the disk
    /// failed. Later commits may succeed.
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let encoded = EncodedBatch::new(batch)?;
        if encoded.is_empty() {
            return Ok(());
        }
        self.0.writer.execute(Write::Commit(encoded)).map(|_| ())
    }

    /// Enqueues a commit like [`Store::commit`], and returns a future of its result. Commits are executed in the order of these calls.
    pub fn enqueue_commit(&self, batch: &Batch) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (sender, outcome) = oneshot::channel();
        match EncodedBatch::new(batch) {
            Ok(encoded) if encoded.is_empty() => drop(sender.send(Ok(()))),
            Ok(encoded) => {
                let completion = move |result: Result<WriteOutcome, Error>| drop(sender.send(result.map(|_| ())));
                self.0.writer.enqueue(Write::Commit(encoded), Box::new(completion));
            }
            Err(error) => drop(sender.send(Err(error))),
        }
        async { outcome.await.unwrap_or_else(|_| Err(Error::Failed("the store has stopped".into()))) }
    }

    /// Returns all timers.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn timers(&self) -> Result<Vec<Timer>, Error> {
        self.storage().timers()
    }

    /// Returns a timer, if it is set.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn timer(&self, owner: &str, name: &str) -> Result<Option<Timer>, Error> {
        self.storage().timer(owner, name)
    }

    /// Deletes a timer if it still has this deadline. Returns before it is on disk.
    pub fn acknowledge_timer(&self, key: &TimerKey) {
        self.0.shared.deferred.acknowledge_timer(key.clone());
        self.0.writer.wake();
    }

    /// Stores an accepted version of a script and returns its number. The same files as in the last version keep their number.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn accept_version(&self, script: &str, files: &[(String, String)]) -> Result<u64, Error> {
        if let Some(last) = self.accepted_version(script)?
            && last.files == files
        {
            return Ok(last.version);
        }
        let write = Write::AcceptVersion { script: script.to_owned(), files: files.to_vec() };
        match self.0.writer.execute(write)? {
            WriteOutcome::Version(number) => Ok(number),
            other => Err(Error::Failed(format!("the database returned {other:?} for an accepted version"))),
        }
    }

    /// Returns the last accepted version of a script.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn accepted_version(&self, script: &str) -> Result<Option<AcceptedVersion>, Error> {
        self.storage().accepted_version(script)
    }

    /// Deletes the accepted version of a script that was removed; if the script comes back, its version numbers continue.
    ///
    /// # Errors
    /// If it is not on disk.
    pub fn forget_version(&self, script: &str) -> Result<(), Error> {
        self.0.writer.execute(Write::ForgetVersion { script: script.to_owned() }).map(|_| ())
    }

    /// Returns a number for a new event delivery.
    pub fn next_event_number(&self) -> u64 {
        self.0.newest_event.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the event deliveries that have not been acknowledged, in order.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn event_deliveries(&self) -> Result<Vec<EventDelivery>, Error> {
        self.storage().event_deliveries()
    }

    /// Deletes an event delivery. Returns before it is on disk.
    pub fn acknowledge_event(&self, number: u64) {
        self.0.shared.deferred.acknowledge_event(number);
        self.0.writer.wake();
    }

    /// Applies changes to an outbox queue, in order; returns when they are on disk.
    ///
    /// # Errors
    /// If none of them is on disk.
    pub async fn update_outbox(&self, queue: &str, changes: Vec<OutboxChange>) -> Result<(), Error> {
        let (sender, outcome) = oneshot::channel();
        let write = Write::Outbox { queue: queue.to_owned(), changes };
        self.0.writer.enqueue(write, Box::new(move |result| drop(sender.send(result))));
        outcome.await.unwrap_or_else(|_| Err(Error::Failed("the store has stopped".into()))).map(|_| ())
    }

    /// Returns the messages of an outbox queue, in order.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn outbox(&self, queue: &str) -> Result<Vec<OutboxRecord>, Error> {
        self.storage().outbox(queue)
    }

    /// Sets a metadata entry of rhaid itself (`disabled:NAME`, `last:TRIGGER`, …); `None` removes it. Returns before it is on disk.
    pub fn set_metadata(&self, key: &str, value: Option<Value>) {
        self.0.shared.deferred.set(key, value);
        self.0.writer.wake();
    }

    /// Returns a metadata entry, including one that is not on disk yet.
    pub fn metadata(&self, key: &str) -> Option<Value> {
        self.0.shared.deferred.get(key)
    }

    /// Writes all that waits in memory; blocks until it is on disk or has failed.
    pub fn flush(&self) {
        self.0.writer.flush();
    }

    /// Returns how the last process on the data folder ended, and starts to mark running scripts. Blocks on the disk.
    pub fn previous_exit(&self) -> PreviousExit {
        self.0.markers.start()
    }

    /// Marks a script as running, until the returned marker is dropped.
    pub fn mark_running(&self, script: &Arc<str>) -> RunMarker {
        RunMarker::new(&self.0.markers, script)
    }

    /// Marks the exit of this process as requested: scripts that run during it do not count as the cause of a crash.
    pub fn mark_orderly_exit(&self) {
        self.0.markers.mark_orderly_exit();
    }
}
