//! Interface of a database: reads, and groups of writes as data.
//!
//! SQLite is the embedded implementation. A database server that several processes share can implement the same traits: no method
//! takes a closure over a connection, no method assumes that reading is local, and a group of writes is one call, in whose transaction
//! an implementation can check a fencing token. `conformance.rs` holds the tests that every implementation must pass.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::TimerKey;
use crate::services::store::commit::EncodedBatch;
use crate::services::store::encoded_run::EncodedRun;
use crate::services::store::error::Error;
use crate::services::store::model::{AcceptedVersion, EventDelivery, NamespaceSize, OutboxChange, OutboxRecord, Timer};
use crate::services::store::omitted_runs::OmittedRuns;
use crate::services::store::run_record::{RetentionPolicy, RunQuery, RunRecord};
use crate::value::{Map, Value};

/// Database of the store.
///
/// The writer thread is the only caller of [`Storage::write`], and no other process writes state while this one has the database:
/// SQLite by the lock of the data folder, a database server by a lease. The state cache relies on this. Reads come from any thread and
/// run beside a write.
///
/// A read sees every transaction committed before it began. All reads fail with [`Error::Failed`] if the database cannot be read.
pub trait Storage: RunHistory {
    /// Reads the data that every process needs at the start.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn load(&self) -> Result<Snapshot, Error>;

    /// Reads a namespace of state; `None` if its entries weigh more than `max_bytes` by `entry_weight`.
    ///
    /// # Errors
    /// If the database or one of the values cannot be read.
    fn namespace(&self, namespace: &str, max_bytes: usize) -> Result<Option<Map>, Error>;

    /// Reads one value of state.
    ///
    /// # Errors
    /// If the database or the value cannot be read.
    fn value(&self, namespace: &str, key: &str) -> Result<Option<Value>, Error>;

    /// Reads the keys of a namespace in ascending order.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn keys(&self, namespace: &str) -> Result<Vec<String>, Error>;

    /// Reads the sizes of all namespaces that hold a value, by name.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn namespaces(&self) -> Result<Vec<NamespaceSize>, Error>;

    /// Reads all timers. One that cannot be decoded is logged and left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn timers(&self) -> Result<Vec<Timer>, Error>;

    /// Reads a timer.
    ///
    /// # Errors
    /// If the database or the timer cannot be read.
    fn timer(&self, owner: &str, name: &str) -> Result<Option<Timer>, Error>;

    /// Reads the event deliveries that have not been acknowledged, by number. One that cannot be decoded is left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn event_deliveries(&self) -> Result<Vec<EventDelivery>, Error>;

    /// Reads the accepted version of a script.
    ///
    /// # Errors
    /// If the database or the version cannot be read.
    fn accepted_version(&self, script: &str) -> Result<Option<AcceptedVersion>, Error>;

    /// Reads the messages of an outbox queue, by number.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn outbox(&self, queue: &str) -> Result<Vec<OutboxRecord>, Error>;

    /// Executes writes in order in one transaction, and returns one result for each.
    ///
    /// * Atomicity: a write whose result is an error leaves nothing behind and does not affect the others of its group.
    /// * Order: a write sees the effects of the writes before it.
    /// * Durability: with [`Durability::Synced`], writes whose result is `Ok` survive a power failure from the return on. With
    ///   [`Durability::Deferred`] they may be lost in one, but only together with all later writes.
    /// * Fencing: a database that several processes share checks the fencing token of the caller in the same transaction; a lost lease
    ///   fails the group and is not retryable.
    ///
    /// # Errors
    /// If the transaction was rolled back: then no write of the group has an effect. The caller executes each write of a retryable
    /// group again in a group of its own, so that one that exceeds the free space of the disk does not fail the others.
    fn write(&self, writes: &[Write], durability: Durability) -> Result<Vec<Result<WriteOutcome, Error>>, GroupError>;
}

/// Run records that have been written; [`Write::AppendRuns`] adds records and applies the retention policy.
///
/// Appending is a write of [`Storage`], so that run records share the transaction of other writes.
pub trait RunHistory: Send + Sync {
    /// Lists the records that match a query, newest first: at most `limit`, and only those older than the cursor.
    ///
    /// Newest means appended last. `RunQuery::limit` is ignored. A record stays in its place while newer ones are appended.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn list(&self, query: &RunQuery, before: Option<RunCursor>, limit: usize) -> Result<RunPage, Error>;

    /// Lists the counts of omitted runs that match a query and whose periods end after a moment, newest first.
    ///
    /// Filters by outcome exclude all. `RunQuery::limit` is ignored.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn omitted(&self, query: &RunQuery, after: Timestamp) -> Result<Vec<OmittedRuns>, Error>;

    /// Reads the newest record whose id equals `id` or ends with it.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn get(&self, id: &str) -> Result<Option<RunRecord>, Error>;
}

/// Position in the run history; opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCursor(pub u64);

/// Part of the run history.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// The records, newest first.
    pub records: Vec<RunRecord>,
    /// Cursor for the records that follow; `None` if the page was not full.
    pub next: Option<RunCursor>,
}

/// Data that every process needs at the start.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// All metadata. Entries that cannot be decoded are left out.
    pub metadata: Map,
    /// Highest number of a stored event delivery, 0 if there is none.
    pub newest_event: u64,
}

/// One atomic write.
#[derive(Debug, Clone)]
pub enum Write {
    /// Applies the effects of one run; results in [`WriteOutcome::Committed`].
    Commit(EncodedBatch),
    /// Stores the version of a script in the place of the one before; results in [`WriteOutcome::Version`].
    AcceptVersion {
        /// The script's name.
        script: String,
        /// File and text.
        files: Vec<(String, String)>,
    },
    /// Deletes the files of a script's version. Its number stays, so that no number is used for two versions.
    ForgetVersion {
        /// The script's name.
        script: String,
    },
    /// Applies changes to an outbox queue, in order.
    Outbox {
        /// The queue's name.
        queue: String,
        /// The changes.
        changes: Vec<OutboxChange>,
    },
    /// Writes metadata and acknowledgements that no caller waits for.
    Deferred(DeferredWrites),
    /// Appends run records and counts, and applies the retention policy.
    AppendRuns(AppendRuns),
    /// Deletes event deliveries that were stored longer ago than this, by the clock of the database.
    ExpireEvents {
        /// The longest age.
        max_age: Duration,
    },
}

/// Metadata and acknowledgements.
#[derive(Debug, Clone, Default)]
pub struct DeferredWrites {
    /// Key and value; `None` deletes the entry.
    pub metadata: Vec<(String, Option<Value>)>,
    /// Timers to delete if they still have this deadline.
    pub acknowledged_timers: Vec<TimerKey>,
    /// Event deliveries to delete.
    pub acknowledged_events: Vec<u64>,
}

/// Run records to append, and the policy that applies from then on.
#[derive(Debug, Clone, Default)]
pub struct AppendRuns {
    /// The records, oldest first; may be empty.
    pub records: VecDeque<EncodedRun>,
    /// Counts of omitted runs. A count of the same trigger and period as an earlier one is added to it.
    pub omitted: Vec<OmittedRuns>,
    /// How much of the run history is kept. If it is exceeded, the outcome that exceeds its share most loses records first, and of
    /// these the oldest of the trigger that has most. Counts of omitted runs take at most an eighth of the limits, and the oldest go first.
    pub retention: RetentionPolicy,
}

/// Result of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// The write has no result of its own.
    Done,
    /// The sums that `EncodedChange::Add` stored, in order.
    Committed(Vec<Value>),
    /// The version's number.
    Version(u64),
}

/// Whether a group of writes is synced to disk before [`Storage::write`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced.
    Synced,
    /// Synced together with a later group.
    Deferred,
}

/// Failure of a whole group of writes.
#[derive(Debug, Clone)]
pub struct GroupError {
    /// The reason.
    pub error: Error,
    /// Whether its writes may succeed one by one: the transaction had begun.
    pub is_retryable: bool,
}
