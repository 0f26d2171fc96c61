//! Deliveries of emitted events: the table `told`.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::services::store::model::EventDelivery;
use crate::services::store::sqlite::decode;

/// Stores a delivery.
pub(super) fn insert(db: &Connection, delivery: &EventDelivery) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO told (number, listener, place, name, data, sender, hops, since)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, unixepoch())",
    )?
    .execute(params![
        delivery.number.cast_signed(),
        delivery.listener,
        delivery.listener_index,
        delivery.name,
        delivery.data.to_stored_text(),
        delivery.from,
        delivery.hops
    ])
    .map(|_| ())
}

/// Deletes a delivery.
pub(super) fn delete(db: &Connection, number: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM told WHERE number = ?1")?.execute([number.cast_signed()]).map(|_| ())
}

/// Deletes the deliveries that were stored longer ago than this.
pub(super) fn expire(db: &Connection, max_age: Duration) -> rusqlite::Result<()> {
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    db.execute("DELETE FROM told WHERE since < unixepoch() - ?1", [seconds]).map(|_| ())
}

/// Reads all deliveries by number. One that cannot be decoded is left out.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<EventDelivery>> {
    let mut statement =
        db.prepare("SELECT number, listener, place, name, data, sender, hops FROM told ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut deliveries = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(data) = decode::value(row, 4) else { continue };
        deliveries.push(EventDelivery {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            listener: row.get(1)?,
            listener_index: row.get(2)?,
            name: row.get(3)?,
            data,
            from: row.get(5)?,
            hops: row.get(6)?,
        });
    }
    Ok(deliveries)
}

/// Returns the highest number, 0 if there is no delivery.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT coalesce(max(number), 0) FROM told", [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}
