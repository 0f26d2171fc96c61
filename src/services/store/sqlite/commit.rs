//! Applies the batch of a run.

use rusqlite::Connection;

use crate::services::store::commit::{EncodedBatch, EncodedChange, StateWrite, sum};
use crate::services::store::error::Error;
use crate::services::store::sqlite::error::{failed, write_failed};
use crate::services::store::sqlite::{events, state, timers};
use crate::value::Value;

/// Applies a batch within the caller's savepoint; returns the sums of its additions.
///
/// # Errors
/// If an amount is added to a value that is not a number, or the database fails.
pub(super) fn apply(db: &Connection, batch: &EncodedBatch) -> Result<Vec<Value>, Error> {
    let mut sums = Vec::new();
    for StateWrite { namespace, key, change } in &batch.state {
        match change {
            EncodedChange::Set { text, .. } => state::set(db, namespace, key, text),
            EncodedChange::Remove => state::remove(db, namespace, key),
            EncodedChange::Add(amount) => {
                let stored = state::value(db, namespace, key);
                let stored = stored.map_err(|error| failed("reading a value from", &error))?.unwrap_or_default();
                let sum = sum(namespace, key, &stored, amount)?;
                let written = state::set(db, namespace, key, &sum.to_stored_text());
                sums.push(sum);
                written
            }
        }
        .map_err(write_failed)?;
    }
    apply_timers(db, batch).and_then(|()| apply_events(db, batch)).map_err(write_failed)?;
    Ok(sums)
}

fn apply_timers(db: &Connection, batch: &EncodedBatch) -> rusqlite::Result<()> {
    batch.acknowledged_timers.iter().try_for_each(|key| timers::acknowledge(db, key))?;
    batch.timers_cancelled.iter().try_for_each(|(owner, name)| timers::cancel(db, owner, name))?;
    batch.timers_set.iter().try_for_each(|timer| timers::set(db, timer))
}

fn apply_events(db: &Connection, batch: &EncodedBatch) -> rusqlite::Result<()> {
    batch.acknowledged_events.iter().try_for_each(|number| events::delete(db, *number))?;
    batch.event_deliveries.iter().try_for_each(|delivery| events::insert(db, delivery))
}
