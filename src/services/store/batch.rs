//! State and timers: what a batch does to them, and how they are read.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::event::TimerKey;
use crate::services::event_bus::EventDelivery;
use crate::services::store::database::failed;
use crate::services::store::event_deliveries;
use crate::services::store::{Batch, Error, StateChange};
use crate::services::timers::Timer;
use crate::value::{MAX_DEPTH, Value};

/// Lists and maps nest no deeper than this, since the parser that reads them again goes no deeper.
const MAX_STORED_DEPTH: usize = MAX_DEPTH - 1;

/// A batch, turned into what the tables hold, so that the writer's thread has little left to do.
pub(super) struct Prepared {
    values: Vec<(String, String, Step)>,
    set: Vec<(String, String, String, String)>,
    cancelled: Vec<(String, String)>,
    done: Vec<TimerKey>,
    told: Vec<EventDelivery>,
    acknowledged_events: Vec<u64>,
}

enum Step {
    Set(String),
    Add(Value),
    Remove,
}

impl Prepared {
    /// Prepares a batch.
    ///
    /// # Errors
    /// If a value nests too deeply to be read again.
    pub(super) fn new(batch: &Batch) -> Result<Self, Error> {
        let written = batch.values.iter().filter_map(|(_, key, change)| match change {
            StateChange::Set(value) => Some((key, value)),
            StateChange::Add(_) | StateChange::Remove => None,
        });
        let carried = batch.timers_set.iter().map(|timer| (&timer.name, &timer.data));
        let told = batch.event_deliveries.iter().map(|told| (&told.name, &told.data));
        if let Some((key, _)) = written.chain(carried).chain(told).find(|(_, value)| depth(value) > MAX_STORED_DEPTH) {
            let words = format!("`{key}` nests more than {MAX_STORED_DEPTH} levels deep: store less of it");
            return Err(Error::Failed(words));
        }
        let step = |change: &StateChange| match change {
            StateChange::Set(value) => Step::Set(encoded(value)),
            StateChange::Add(amount) => Step::Add(amount.clone()),
            StateChange::Remove => Step::Remove,
        };
        let timer =
            |timer: &Timer| (timer.owner.clone(), timer.name.clone(), timer.due.to_string(), encoded(&timer.data));
        Ok(Self {
            values: batch
                .values
                .iter()
                .map(|(space, key, change)| (space.clone(), key.clone(), step(change)))
                .collect(),
            set: batch.timers_set.iter().map(timer).collect(),
            cancelled: batch.timers_cancelled.clone(),
            done: batch.acknowledged_timers.clone(),
            told: batch.event_deliveries.clone(),
            acknowledged_events: batch.acknowledged_events.clone(),
        })
    }

    /// Returns whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        let has_timers = !(self.set.is_empty() && self.cancelled.is_empty() && self.done.is_empty());
        self.values.is_empty() && !has_timers && self.told.is_empty() && self.acknowledged_events.is_empty()
    }

    /// Does it, inside the caller's transaction, which is to be undone if this fails.
    ///
    /// # Errors
    /// If something is added to what is no number, or the database says no.
    pub(super) fn apply(&self, db: &Connection) -> Result<(), Error> {
        for (space, key, step) in &self.values {
            let json = match step {
                Step::Set(json) => Some(json.clone()),
                Step::Add(amount) => {
                    let now = value(db, space, key).map_err(|error| failed("reading a value from", &error))?;
                    Some(encoded(&sum(space, key, now.unwrap_or_default(), amount)?))
                }
                Step::Remove => None,
            };
            put(db, space, key, json.as_deref()).map_err(|error| failed("writing to", &error))?;
        }
        self.apply_timers(db).and_then(|()| self.apply_told(db)).map_err(|error| failed("writing to", &error))
    }

    fn apply_told(&self, db: &Connection) -> rusqlite::Result<()> {
        self.acknowledged_events.iter().try_for_each(|number| event_deliveries::forget(db, *number))?;
        self.told.iter().try_for_each(|told| event_deliveries::keep(db, told))
    }

    fn apply_timers(&self, db: &Connection) -> rusqlite::Result<()> {
        for key in &self.done {
            settle(db, key)?;
        }
        for (owner, name) in &self.cancelled {
            db.prepare_cached("DELETE FROM timer WHERE owner = ?1 AND name = ?2")?.execute([owner, name])?;
        }
        for (owner, name, due, data) in &self.set {
            db.prepare_cached("INSERT OR REPLACE INTO timer (owner, name, due, data) VALUES (?1, ?2, ?3, ?4)")?
                .execute([owner, name, due, data])?;
        }
        Ok(())
    }
}

/// Takes a timer away if it still has this deadline.
pub(super) fn settle(db: &Connection, key: &TimerKey) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM timer WHERE owner = ?1 AND name = ?2 AND due = ?3")?.execute(params![
        key.owner,
        key.name,
        key.due.to_string()
    ])?;
    Ok(())
}

/// Reads a value.
pub(super) fn value(db: &Connection, space: &str, key: &str) -> rusqlite::Result<Option<Value>> {
    db.prepare_cached("SELECT value FROM state WHERE space = ?1 AND key = ?2")?
        .query_row([space, key], |row| decoded(row, 0))
        .optional()
}

/// Reads a space's keys in order.
pub(super) fn keys(db: &Connection, space: &str) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT key FROM state WHERE space = ?1 ORDER BY key")?
        .query_map([space], |row| row.get(0))?
        .collect()
}

/// Reads all timers; one that makes no sense does not keep the others from it.
pub(super) fn timers(db: &Connection) -> rusqlite::Result<Vec<Timer>> {
    let mut statement = db.prepare_cached("SELECT owner, name, due, data FROM timer")?;
    let mut rows = statement.query([])?;
    let mut timers = Vec::new();
    while let Some(row) = rows.next()? {
        match read_timer(row) {
            Ok(timer) => timers.push(timer),
            Err(why) => {
                let (owner, name): (String, String) = (row.get(0)?, row.get(1)?);
                tracing::error!(owner, name, %why, "a stored timer can not be read: it does not run out");
            }
        }
    }
    Ok(timers)
}

/// Reads a timer.
pub(super) fn timer(db: &Connection, owner: &str, name: &str) -> rusqlite::Result<Option<Timer>> {
    db.prepare_cached("SELECT owner, name, due, data FROM timer WHERE owner = ?1 AND name = ?2")?
        .query_row([owner, name], read_timer)
        .optional()
}

/// Turns a value into what a column holds.
pub(super) fn encoded(value: &Value) -> String {
    value.to_stored_text()
}

/// Reads a value from a column.
pub(super) fn decoded(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let json = row.get_ref(column)?.as_bytes()?;
    serde_json::from_slice(json).map(Value::from_stored).map_err(|error| unreadable(column, error))
}

/// Says that a column holds something else than was put there.
pub(super) fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

fn read_timer(row: &Row<'_>) -> rusqlite::Result<Timer> {
    let due: Timestamp = row.get_ref(2)?.as_str()?.parse().map_err(|error: jiff::Error| unreadable(2, error))?;
    Ok(Timer { owner: row.get(0)?, name: row.get(1)?, due, data: decoded(row, 3)? })
}

fn put(db: &Connection, space: &str, key: &str, json: Option<&str>) -> rusqlite::Result<()> {
    match json {
        Some(json) => db
            .prepare_cached("INSERT OR REPLACE INTO state (space, key, value) VALUES (?1, ?2, ?3)")?
            .execute([space, key, json]),
        None => db.prepare_cached("DELETE FROM state WHERE space = ?1 AND key = ?2")?.execute([space, key]),
    }?;
    Ok(())
}

/// Returns how many levels of lists and maps the stored form has.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Map(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        Value::Bytes(_) | Value::Time(_) => 1,
        _ => 0,
    }
}

fn sum(space: &str, key: &str, now: Value, amount: &Value) -> Result<Value, Error> {
    #[expect(clippy::cast_precision_loss, reason = "a sum with a fraction is a float, as in the scripts' language")]
    let sum = match (&now, amount) {
        (Value::Null, Value::Int(_) | Value::Float(_)) => Some(amount.clone()),
        (Value::Int(a), Value::Int(b)) => match a.checked_add(*b) {
            Some(sum) => Some(Value::Int(sum)),
            None => {
                return Err(Error::Failed(format!("adding {b} to `{key}` ({a}) is more than a whole number holds")));
            }
        },
        (Value::Int(a), Value::Float(b)) => Some(Value::Float(*a as f64 + b)),
        (Value::Float(a), Value::Int(b)) => Some(Value::Float(a + *b as f64)),
        (Value::Float(a), Value::Float(b)) => Some(Value::Float(a + b)),
        _ => None,
    };
    sum.ok_or_else(|| match amount {
        Value::Int(_) | Value::Float(_) => {
            Error::Failed(format!("`{key}` of {space} is {}: only to a number can something be added", now.type_name()))
        }
        _ => Error::Failed(format!("{} can not be added to `{key}`: give a number", amount.type_name())),
    })
}
