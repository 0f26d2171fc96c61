//! Messages that rhaid has promised to see through, in boxes: what waits for a broker is one.

use rusqlite::{Connection, params};

/// A message that rhaid has promised to see through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its place in the order; no other in its box has it, over restarts.
    pub number: u64,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Its QoS.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// What else is said of it, in words of whoever sends it.
    pub properties: String,
    /// The packet id under which it goes out, for QoS 2, once it may have gone.
    pub packet: Option<u16>,
    /// Whether the broker has said that it has it, for QoS 2.
    pub received: bool,
}

/// What happens to the messages of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxChange {
    /// There is one more.
    Insert(OutboxRecord),
    /// It may go out under this packet id; the broker has not got it.
    AssignPacketId {
        /// Which.
        number: u64,
        /// The packet id.
        packet: u16,
    },
    /// The broker has it.
    MarkReceived {
        /// Which.
        number: u64,
    },
    /// It is over.
    Delete {
        /// Which.
        number: u64,
    },
}

/// Makes a change, inside the caller's transaction.
pub(super) fn change(db: &Connection, name: &str, change: &OutboxChange) -> rusqlite::Result<()> {
    match change {
        OutboxChange::Insert(kept) => db
            .prepare_cached(
                "INSERT INTO letter (box, number, topic, payload, qos, retain, properties, packet, received)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                name,
                kept.number.cast_signed(),
                kept.topic,
                kept.payload,
                kept.qos,
                kept.retain,
                kept.properties,
                kept.packet,
                kept.received
            ]),
        OutboxChange::AssignPacketId { number, packet } => db
            .prepare_cached("UPDATE letter SET packet = ?3, received = 0 WHERE box = ?1 AND number = ?2")?
            .execute(params![name, number.cast_signed(), packet]),
        OutboxChange::MarkReceived { number } => db
            .prepare_cached("UPDATE letter SET received = 1 WHERE box = ?1 AND number = ?2")?
            .execute(params![name, number.cast_signed()]),
        OutboxChange::Delete { number } => db
            .prepare_cached("DELETE FROM letter WHERE box = ?1 AND number = ?2")?
            .execute(params![name, number.cast_signed()]),
    }?;
    Ok(())
}

/// Reads the messages of a box, in order.
pub(super) fn all(db: &Connection, name: &str) -> rusqlite::Result<Vec<OutboxRecord>> {
    db.prepare_cached(
        "SELECT number, topic, payload, qos, retain, properties, packet, received FROM letter
            WHERE box = ?1 ORDER BY number",
    )?
    .query_map([name], |row| {
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
