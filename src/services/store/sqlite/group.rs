//! One transaction for a group of writes.

use rusqlite::Connection;

use crate::services::store::error::Error;
use crate::services::store::sqlite::connections::WriteConnection;
use crate::services::store::sqlite::error::write_failed;
use crate::services::store::sqlite::history::HistoryUsage;
use crate::services::store::sqlite::{commit, deferred, events, outbox, versions};
use crate::services::store::storage::{Durability, GroupError, Write, WriteOutcome};

/// Executes a group of writes.
///
/// # Errors
/// As [`crate::services::store::Storage::write`].
pub(super) fn write(
    connection: &mut WriteConnection,
    writes: &[Write],
    durability: Durability,
) -> Result<Vec<Result<WriteOutcome, Error>>, GroupError> {
    let written = execute(connection, writes, durability);
    if written.is_err() {
        // The error of the group says more than that of the rollback.
        let _ = roll_back(connection);
    }
    written
}

fn execute(
    connection: &mut WriteConnection,
    writes: &[Write],
    durability: Durability,
) -> Result<Vec<Result<WriteOutcome, Error>>, GroupError> {
    set_durability(connection, durability).map_err(not_begun)?;
    control(&connection.db, "BEGIN IMMEDIATE").map_err(not_begun)?;
    let WriteConnection { db, usage, .. } = &mut *connection;
    let outcomes: Result<Vec<_>, Error> = writes.iter().map(|write| apply(db, usage, write)).collect();
    let results = match outcomes {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        // Only a group with a write that fails has savepoints: they cost a copy of each changed page.
        Err(_) => {
            roll_back(connection).map_err(rolled_back)?;
            let WriteConnection { db, usage, .. } = &mut *connection;
            control(db, "BEGIN IMMEDIATE").map_err(not_begun)?;
            let results = writes.iter().map(|write| in_savepoint(db, |db| apply(db, usage, write)));
            results.collect::<Result<_, _>>()?
        }
    };
    control(&connection.db, "COMMIT").map_err(rolled_back)?;
    Ok(results)
}

/// Rolls back a transaction, unless SQLite has done so, and forgets what was read in it.
fn roll_back(connection: &mut WriteConnection) -> rusqlite::Result<()> {
    connection.usage.invalidate();
    match connection.db.is_autocommit() {
        true => Ok(()),
        false => control(&connection.db, "ROLLBACK"),
    }
}

fn set_durability(connection: &mut WriteConnection, durability: Durability) -> rusqlite::Result<()> {
    if connection.durability != Some(durability) {
        let synchronous = match durability {
            Durability::Synced => "full",
            Durability::Deferred => "normal",
        };
        connection.db.pragma_update(None, "synchronous", synchronous)?;
        connection.durability = Some(durability);
    }
    Ok(())
}

/// Executes a statement that begins or ends a transaction; it is parsed once.
fn control(db: &Connection, statement: &'static str) -> rusqlite::Result<()> {
    db.prepare_cached(statement)?.execute([]).map(drop)
}

/// Executes one write within a savepoint, which is rolled back if the write fails.
///
/// # Errors
/// If the whole transaction is lost: SQLite may roll it back by itself when the disk is full.
fn in_savepoint(
    db: &Connection,
    write: impl FnOnce(&Connection) -> Result<WriteOutcome, Error>,
) -> Result<Result<WriteOutcome, Error>, GroupError> {
    control(db, "SAVEPOINT write").map_err(rolled_back)?;
    let result = write(db);
    match &result {
        Err(error) if db.is_autocommit() => {
            return Err(GroupError { error: error.clone(), is_retryable: true });
        }
        Err(_) => control(db, "ROLLBACK TO write").map_err(rolled_back)?,
        Ok(_) => {}
    }
    control(db, "RELEASE write").map_err(rolled_back)?;
    Ok(result)
}

fn apply(db: &Connection, usage: &mut HistoryUsage, write: &Write) -> Result<WriteOutcome, Error> {
    match write {
        Write::Commit(batch) => return commit::apply(db, batch).map(WriteOutcome::Committed),
        Write::AcceptVersion { script, files } => {
            return versions::accept(db, script, files).map(WriteOutcome::Version).map_err(write_failed);
        }
        Write::ForgetVersion { script } => versions::forget(db, script),
        Write::Outbox { queue, changes } => changes.iter().try_for_each(|change| outbox::change(db, queue, change)),
        Write::Deferred(writes) => deferred::apply(db, writes),
        Write::AppendRuns(runs) => usage.append(db, runs),
        Write::ExpireEvents { max_age } => events::expire(db, *max_age),
    }
    .map(|()| WriteOutcome::Done)
    .map_err(write_failed)
}

fn not_begun(error: rusqlite::Error) -> GroupError {
    GroupError { error: write_failed(error), is_retryable: false }
}

fn rolled_back(error: rusqlite::Error) -> GroupError {
    GroupError { error: write_failed(error), is_retryable: true }
}
