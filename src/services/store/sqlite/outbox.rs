//! Outbox queues: the table `letter`.

use rusqlite::{Connection, params};

use crate::services::store::model::{OutboxChange, OutboxRecord};

/// Applies a change to a queue.
pub(super) fn change(db: &Connection, queue: &str, change: &OutboxChange) -> rusqlite::Result<()> {
    match change {
        OutboxChange::Insert(record) => return insert(db, queue, record),
        OutboxChange::AssignPacketId { number, packet } => db
            .prepare_cached("UPDATE letter SET packet = ?3, received = 0 WHERE box = ?1 AND number = ?2")?
            .execute(params![queue, number.cast_signed(), packet]),
        OutboxChange::MarkReceived { number } => db
            .prepare_cached("UPDATE letter SET received = 1 WHERE box = ?1 AND number = ?2")?
            .execute(params![queue, number.cast_signed()]),
        OutboxChange::Delete { number } => db
            .prepare_cached("DELETE FROM letter WHERE box = ?1 AND number = ?2")?
            .execute(params![queue, number.cast_signed()]),
    }
    .map(|_| ())
}

fn insert(db: &Connection, queue: &str, record: &OutboxRecord) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO letter (box, number, topic, payload, qos, retain, properties, packet, received)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        queue,
        record.number.cast_signed(),
        record.topic,
        record.payload,
        record.qos,
        record.retain,
        record.properties,
        record.packet,
        record.received
    ])
    .map(|_| ())
}

/// Reads the messages of a queue, by number.
pub(super) fn all(db: &Connection, queue: &str) -> rusqlite::Result<Vec<OutboxRecord>> {
    db.prepare_cached(
        "SELECT number, topic, payload, qos, retain, properties, packet, received FROM letter
            WHERE box = ?1 ORDER BY number",
    )?
    .query_map([queue], |row| {
        Ok(OutboxRecord {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            topic: row.get(1)?,
            payload: row.get(2)?,
            qos: row.get(3)?,
            retain: row.get(4)?,
            properties: row.get(5)?,
            packet: row.get(6)?,
            received: row.get(7)?,
        })
    })?
    .collect()
}
