//! Run records as rows.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::services::store::run_record::{OutcomeClass, OutcomeFilter, PayloadFidelity, RunQuery, RunRecord};
use crate::services::store::sqlite::decode::{self, unreadable};
use crate::services::store::storage::{RunCursor, RunPage};

/// Approximate size of a row besides its text, in bytes: its numbers, and its entries in the indexes.
const OVERHEAD: usize = 120;

/// Inserts a record; returns its approximate size in bytes.
pub(super) fn insert(db: &Connection, record: &RunRecord) -> rusqlite::Result<u64> {
    let payload = record.payload.to_stored_text();
    let effects = match &record.effects[..] {
        [] => String::new(),
        effects => serde_json::to_string(effects).unwrap_or_default(),
    };
    let texts = [&record.id, &record.event, &payload, &effects, record.why.as_deref().unwrap_or_default()];
    let names = record.script.len() + record.trigger.len();
    let size = (OVERHEAD + 2 * names + texts.iter().map(|text| text.len()).sum::<usize>()) as u64;
    db.prepare_cached(
        "INSERT INTO run (id, script, version, trigger, event, facts, kept, attempt, queued, started, ended, class, outcome, why,
             effects, size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        record.id,
        record.script,
        record.version.cast_signed(),
        record.trigger,
        record.event,
        payload,
        record.fidelity.word(),
        record.attempt,
        record.queued.as_microsecond(),
        record.started.map(Timestamp::as_microsecond),
        record.ended.as_microsecond(),
        OutcomeClass::of(record) as i64,
        record.outcome,
        record.why,
        effects,
        size.cast_signed(),
    ])?;
    Ok(size)
}

const COLUMNS: &str =
    "id, script, version, trigger, event, facts, kept, attempt, queued, started, ended, outcome, why, effects, seq";

/// Lists records, newest first.
pub(in crate::services::store::sqlite) fn list(
    db: &Connection,
    query: &RunQuery,
    before: Option<RunCursor>,
    limit: usize,
) -> rusqlite::Result<RunPage> {
    let script = if query.script.is_some() { "script = ?1" } else { "?1 IS NULL" };
    let trigger = if query.trigger.is_some() { "trigger = ?2" } else { "?2 IS NULL" };
    let only = match query.only {
        None => "",
        Some(OutcomeFilter::Failed) => " AND class = 2",
        Some(OutcomeFilter::Skipped) => " AND class = 1 AND outcome = 'skipped'",
    };
    let cursor = if before.is_some() { "seq < ?5" } else { "?5 IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM run WHERE {script} AND {trigger}{only} AND ended >= ?3 AND {cursor} ORDER BY seq DESC LIMIT ?4"
    );
    let since = query.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let before = before.map(|cursor| cursor.0.cast_signed());
    let parameters = params![query.script, query.trigger, since, limit as i64, before];
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters)?;
    let mut page = RunPage::default();
    while let Some(row) = rows.next()? {
        page.records.push(record(row)?);
        page.next = Some(RunCursor(row.get::<_, i64>(14)?.cast_unsigned()));
    }
    if page.records.len() < limit {
        page.next = None;
    }
    Ok(page)
}

/// Finds the newest record whose id equals `id` or ends with it.
pub(in crate::services::store::sqlite) fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<RunRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM run WHERE substr(id, -length(?1)) = ?1 ORDER BY seq DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row([id], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let time = |column: usize, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|error: jiff::Error| unreadable(column, error))
    };
    Ok(RunRecord {
        id: row.get(0)?,
        script: row.get(1)?,
        version: row.get::<_, i64>(2)?.cast_unsigned(),
        trigger: row.get(3)?,
        event: row.get(4)?,
        // A payload may nest deeper than the parser allows: the record is then listed without it.
        payload: decode::value(row, 5).unwrap_or_default(),
        fidelity: PayloadFidelity::of(row.get_ref(6)?.as_str()?),
        attempt: row.get(7)?,
        queued: time(8, row.get(8)?)?,
        started: row.get::<_, Option<i64>>(9)?.map(|micros| time(9, micros)).transpose()?,
        ended: time(10, row.get(10)?)?,
        outcome: row.get(11)?,
        why: row.get(12)?,
        // Effects that an older version wrote in another form are left out.
        effects: serde_json::from_slice(row.get_ref(13)?.as_bytes()?).unwrap_or_default(),
    })
}
