//! Timers: the table `timer`.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::event::TimerKey;
use crate::services::store::commit::TimerWrite;
use crate::services::store::model::Timer;
use crate::services::store::sqlite::decode;

/// Reads all timers. One that cannot be decoded is logged and left out.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Timer>> {
    let mut statement = db.prepare_cached("SELECT owner, name, due, data FROM timer")?;
    let mut rows = statement.query([])?;
    let mut timers = Vec::new();
    while let Some(row) = rows.next()? {
        match timer(row) {
            Ok(timer) => timers.push(timer),
            Err(why) => {
                let (owner, name): (String, String) = (row.get(0)?, row.get(1)?);
                tracing::error!(owner, name, %why, "a stored timer cannot be read: it does not expire");
            }
        }
    }
    Ok(timers)
}

/// Reads a timer.
pub(super) fn find(db: &Connection, owner: &str, name: &str) -> rusqlite::Result<Option<Timer>> {
    db.prepare_cached("SELECT owner, name, due, data FROM timer WHERE owner = ?1 AND name = ?2")?
        .query_row([owner, name], timer)
        .optional()
}

/// Sets a timer in the place of the one of its name.
pub(super) fn set(db: &Connection, timer: &TimerWrite) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO timer (owner, name, due, data) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![timer.owner, timer.name, timer.due.to_string(), timer.data])
        .map(|_| ())
}

/// Deletes a timer.
pub(super) fn cancel(db: &Connection, owner: &str, name: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM timer WHERE owner = ?1 AND name = ?2")?.execute([owner, name]).map(|_| ())
}

/// Deletes a timer if it still has this deadline.
pub(super) fn acknowledge(db: &Connection, key: &TimerKey) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM timer WHERE owner = ?1 AND name = ?2 AND due = ?3")?
        .execute(params![key.owner, key.name, key.due.to_string()])
        .map(|_| ())
}

fn timer(row: &Row<'_>) -> rusqlite::Result<Timer> {
    let due: Timestamp =
        row.get_ref(2)?.as_str()?.parse().map_err(|error: jiff::Error| decode::unreadable(2, error))?;
    Ok(Timer { owner: row.get(0)?, name: row.get(1)?, due, data: decode::value(row, 3)? })
}
