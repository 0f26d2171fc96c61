//! One transaction for a group of writes, with a savepoint for each.

use rusqlite::{Connection, Transaction, TransactionBehavior};

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
        connection.usage.invalidate();
    }
    written
}

fn execute(
    connection: &mut WriteConnection,
    writes: &[Write],
    durability: Durability,
) -> Result<Vec<Result<WriteOutcome, Error>>, GroupError> {
    let WriteConnection { db, usage } = connection;
    let synchronous = match durability {
        Durability::Synced => "full",
        Durability::Deferred => "normal",
    };
    db.pragma_update(None, "synchronous", synchronous).map_err(not_begun)?;
    let mut transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(not_begun)?;
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        results.push(in_savepoint(&mut transaction, |db| apply(db, usage, write))?);
    }
    transaction.commit().map_err(rolled_back)?;
    Ok(results)
}

/// Executes one write within a savepoint, which is rolled back if the write fails.
///
/// # Errors
/// If the whole transaction is lost: SQLite may roll it back by itself when the disk is full.
fn in_savepoint(
    transaction: &mut Transaction<'_>,
    write: impl FnOnce(&Connection) -> Result<WriteOutcome, Error>,
) -> Result<Result<WriteOutcome, Error>, GroupError> {
    let savepoint = transaction.savepoint().map_err(rolled_back)?;
    let result = write(&savepoint);
    match &result {
        Ok(_) => savepoint.commit().map_err(rolled_back)?,
        Err(error) if savepoint.is_autocommit() => {
            return Err(GroupError { error: error.clone(), is_retryable: true });
        }
        Err(_) => savepoint.finish().map_err(rolled_back)?,
    }
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
