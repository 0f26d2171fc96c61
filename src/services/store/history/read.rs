//! Rows that are on disk, as they are written and read.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::{Class, OutcomeFilter, PayloadFidelity, RunQuery, RunRecord};
use crate::services::store::batch::{decoded, encoded, unreadable};

/// About how many bytes a row takes beside its texts: its numbers, and its places in the indexes.
const OVERHEAD: usize = 120;

/// Writes a row; returns about how many bytes it takes.
pub(super) fn insert(db: &Connection, row: &RunRecord) -> rusqlite::Result<u64> {
    let payload = encoded(&row.payload);
    let effects =
        if row.effects.is_empty() { String::new() } else { serde_json::to_string(&row.effects).unwrap_or_default() };
    let texts = [&row.id, &row.event, &payload, &effects, row.why.as_deref().unwrap_or_default()];
    let names = row.script.len() + row.trigger.len();
    let size = (OVERHEAD + 2 * names + texts.iter().map(|text| text.len()).sum::<usize>()) as u64;
    db.prepare_cached(
        "INSERT INTO run (id, script, version, trigger, event, facts, kept, attempt, queued, started, ended, class, outcome, why,
             effects, size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        row.id,
        row.script,
        row.version.cast_signed(),
        row.trigger,
        row.event,
        payload,
        row.fidelity.word(),
        row.attempt,
        row.queued.as_microsecond(),
        row.started.map(Timestamp::as_microsecond),
        row.ended.as_microsecond(),
        Class::of(row) as i64,
        row.outcome,
        row.why,
        effects,
        size.cast_signed(),
    ])?;
    Ok(size)
}

const COLUMNS: &str =
    "id, script, version, trigger, event, facts, kept, attempt, queued, started, ended, outcome, why, effects";

/// Lists rows, newest first.
pub(in crate::services::store) fn list(
    db: &Connection,
    query: &RunQuery,
    limit: usize,
) -> rusqlite::Result<Vec<RunRecord>> {
    let script = if query.script.is_some() { "script = ?1" } else { "?1 IS NULL" };
    let trigger = if query.trigger.is_some() { "trigger = ?2" } else { "?2 IS NULL" };
    let only = match query.only {
        None => "",
        Some(OutcomeFilter::Failed) => " AND class = 2",
        Some(OutcomeFilter::Skipped) => " AND class = 1 AND outcome = 'skipped'",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM run WHERE {script} AND {trigger}{only} AND ended >= ?3 ORDER BY seq DESC LIMIT ?4"
    );
    let since = query.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let wanted = params![query.script, query.trigger, since, limit as i64];
    db.prepare_cached(&sql)?.query_map(wanted, read_row)?.collect()
}

/// Finds the newest row whose id is this or ends with it.
pub(in crate::services::store) fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<RunRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM run WHERE substr(id, -length(?1)) = ?1 ORDER BY seq DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row([id], read_row).optional()
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RunRecord> {
    let time = |column: usize, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|error: jiff::Error| unreadable(column, error))
    };
    Ok(RunRecord {
        id: row.get(0)?,
        script: row.get(1)?,
        version: row.get::<_, i64>(2)?.cast_unsigned(),
        trigger: row.get(3)?,
        event: row.get(4)?,
        // A payload may nest deeper than can be read again: the row is worth listing without it.
        payload: decoded(row, 5).unwrap_or_default(),
        fidelity: PayloadFidelity::of(row.get_ref(6)?.as_str()?),
        attempt: row.get(7)?,
        queued: time(8, row.get(8)?)?,
        started: row.get::<_, Option<i64>>(9)?.map(|micros| time(9, micros)).transpose()?,
        ended: time(10, row.get(10)?)?,
        outcome: row.get(11)?,
        why: row.get(12)?,
        // What an older version wrote in another form is left out.
        effects: serde_json::from_slice(row.get_ref(13)?.as_bytes()?).unwrap_or_default(),
    })
}
