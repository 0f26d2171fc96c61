//! Implementation of the storage traits.

use std::path::Path;

use jiff::Timestamp;

use crate::services::store::error::Error;
use crate::services::store::model::{AcceptedVersion, EventDelivery, NamespaceSize, OutboxRecord, Timer};
use crate::services::store::omitted_runs::OmittedRuns;
use crate::services::store::run_record::{RunQuery, RunRecord};
use crate::services::store::sqlite::connections::Connections;
use crate::services::store::sqlite::copy::copy_from;
use crate::services::store::sqlite::error::{FILE, failed};
use crate::services::store::sqlite::{deferred, events, group, history, outbox, state, timers, versions};
use crate::services::store::storage::{
    Durability, GroupError, RunCursor, RunHistory, RunPage, Snapshot, Storage, Write, WriteOutcome,
};
use crate::value::{Map, Value};

/// SQLite database.
pub(in crate::services::store) struct SqliteStorage(Connections);

impl SqliteStorage {
    /// Opens the database of a data folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// If it can neither be opened nor created, or was written by a newer rhaid.
    pub(in crate::services::store) fn open(folder: &Path) -> Result<Self, Error> {
        Connections::open(&folder.join(FILE)).map(Self)
    }

    /// Creates a database in memory.
    ///
    /// # Errors
    /// If there is no memory.
    pub(in crate::services::store) fn in_memory() -> Result<Self, Error> {
        Connections::in_memory().map(Self)
    }

    /// Copies the state and the timers of a data folder into this database, if the folder has a database.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(in crate::services::store) fn copy_from(&self, folder: &Path) -> Result<(), Error> {
        copy_from(&folder.join(FILE), &self.0.writer().db).map_err(|error| failed("reading", &error))
    }

    /// Executes SQL on the connection for writing.
    #[cfg(test)]
    pub(in crate::services::store) fn execute(&self, sql: &str) {
        self.0.writer().db.execute_batch(sql).unwrap();
    }
}

impl Storage for SqliteStorage {
    fn load(&self) -> Result<Snapshot, Error> {
        let metadata = self.0.read("metadata", deferred::metadata)?;
        let newest_event = self.0.read("events", events::newest)?;
        Ok(Snapshot { metadata, newest_event })
    }

    fn namespace(&self, namespace: &str, max_bytes: usize) -> Result<Option<Map>, Error> {
        self.0.read("state", |db| state::namespace(db, namespace, max_bytes))
    }

    fn value(&self, namespace: &str, key: &str) -> Result<Option<Value>, Error> {
        self.0.read("a value", |db| state::value(db, namespace, key))
    }

    fn keys(&self, namespace: &str) -> Result<Vec<String>, Error> {
        self.0.read("keys", |db| state::keys(db, namespace))
    }

    fn namespaces(&self) -> Result<Vec<NamespaceSize>, Error> {
        self.0.read("state", state::namespaces)
    }

    fn timers(&self) -> Result<Vec<Timer>, Error> {
        self.0.read("timers", timers::all)
    }

    fn timer(&self, owner: &str, name: &str) -> Result<Option<Timer>, Error> {
        self.0.read("a timer", |db| timers::find(db, owner, name))
    }

    fn event_deliveries(&self) -> Result<Vec<EventDelivery>, Error> {
        self.0.read("events", events::all)
    }

    fn accepted_version(&self, script: &str) -> Result<Option<AcceptedVersion>, Error> {
        self.0.read("a script", |db| versions::accepted(db, script))
    }

    fn outbox(&self, queue: &str) -> Result<Vec<OutboxRecord>, Error> {
        self.0.read("messages", |db| outbox::all(db, queue))
    }

    fn write(&self, writes: &[Write], durability: Durability) -> Result<Vec<Result<WriteOutcome, Error>>, GroupError> {
        group::write(&mut self.0.writer(), writes, durability)
    }
}

impl RunHistory for SqliteStorage {
    fn list(&self, query: &RunQuery, before: Option<RunCursor>, limit: usize) -> Result<RunPage, Error> {
        self.0.read("the run history", |db| history::list(db, query, before, limit))
    }

    fn omitted(&self, query: &RunQuery, after: Timestamp) -> Result<Vec<OmittedRuns>, Error> {
        self.0.read("the run history", |db| history::list_omitted(db, query, after))
    }

    fn get(&self, id: &str) -> Result<Option<RunRecord>, Error> {
        self.0.read("the run history", |db| history::get(db, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::conformance;

    #[test]
    fn a_database_on_disk_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::check(|| {
            count.set(count.get() + 1);
            let folder = folder.path().join(count.get().to_string());
            std::fs::create_dir(&folder).unwrap();
            SqliteStorage::open(&folder).unwrap()
        });
    }

    #[test]
    fn a_database_in_memory_conforms() {
        conformance::check(|| SqliteStorage::in_memory().unwrap());
    }

    #[test]
    fn a_database_on_disk_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        conformance::check_durability(|| SqliteStorage::open(folder.path()).unwrap());
    }
}
