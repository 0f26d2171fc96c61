//! Emitted events that have yet to have their effect: one for each who is to hear it.

use rusqlite::{Connection, params};

use crate::services::event_bus::EventDelivery;
use crate::services::store::batch::{decoded, encoded};

/// How many days an event waits for a script that does not come back.
const DAYS: u32 = 7;

/// Keeps an event, inside the caller's transaction.
pub(super) fn keep(db: &Connection, told: &EventDelivery) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO told (number, listener, place, name, data, sender, hops, since)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, unixepoch())",
    )?
    .execute(params![
        told.number.cast_signed(),
        told.listener,
        told.place,
        told.name,
        encoded(&told.data),
        told.from,
        told.hops
    ])?;
    Ok(())
}

/// Forgets an event that has had its effect.
pub(super) fn forget(db: &Connection, number: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM told WHERE number = ?1")?.execute([number.cast_signed()])?;
    Ok(())
}

/// Reads all that have yet to have their effect, in order; what makes no sense is left out.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<EventDelivery>> {
    let mut statement =
        db.prepare("SELECT number, listener, place, name, data, sender, hops FROM told ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(data) = decoded(row, 4) else { continue };
        all.push(EventDelivery {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            listener: row.get(1)?,
            place: row.get(2)?,
            name: row.get(3)?,
            data,
            from: row.get(5)?,
            hops: row.get(6)?,
        });
    }
    Ok(all)
}

/// Forgets those for scripts that have not come back for so long.
pub(super) fn forget_old(db: &Connection) -> rusqlite::Result<()> {
    db.execute("DELETE FROM told WHERE since < unixepoch() - ?1 * 86400", [DAYS])?;
    Ok(())
}

/// Returns the number of the newest there is.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT coalesce(max(number), 0) FROM told", [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}
