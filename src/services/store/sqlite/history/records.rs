//! Run records as rows.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::services::store::encoded_run::EncodedRun;
use crate::services::store::run_record::{OutcomeClass, OutcomeFilter, RunQuery, RunRecord};
use crate::services::store::sqlite::decode::unreadable;
use crate::services::store::sqlite::history::json_run;
use crate::services::store::storage::{RunCursor, RunPage};

/// Approximate size of a row besides its id and its data, in bytes: its numbers, and its entries in the indexes.
pub(super) const OVERHEAD: u64 = 40;

/// Inserts a record; returns its approximate size in bytes.
pub(super) fn insert(db: &Connection, series: i64, run: &EncodedRun) -> rusqlite::Result<u64> {
    db.prepare_cached("INSERT INTO run (series, class, ended, id, data) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![series, run.class as i64, run.ended.as_microsecond(), run.id, run.data])?;
    Ok(OVERHEAD + (run.id.len() + run.data.len()) as u64)
}

const SELECT: &str = "SELECT id, script, trigger, ended, data, seq FROM run JOIN series ON number = series";

/// Lists records, newest first.
pub(in crate::services::store::sqlite) fn list(
    db: &Connection,
    query: &RunQuery,
    before: Option<RunCursor>,
    limit: usize,
) -> rusqlite::Result<RunPage> {
    let since = query.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let before = before.map_or(i64::MAX, |cursor| cursor.0.cast_signed());
    let mut page = RunPage::default();
    let mut add = |row: &Row<'_>| {
        page.records.push(record(row)?);
        page.next = Some(RunCursor(row.get::<_, i64>(5)?.cast_unsigned()));
        Ok(())
    };
    if query.script.is_none() && query.trigger.is_none() {
        let class = match query.only {
            None => "",
            Some(OutcomeFilter::Failed) => "class = 2 AND ",
            Some(OutcomeFilter::Skipped) => "class = 1 AND ",
        };
        let sql = format!("{SELECT} WHERE {class}ended >= ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params![since, before, limit as i64])?;
        while let Some(row) = rows.next()? {
            add(row)?;
        }
    } else {
        let mut statement = db.prepare_cached(&format!("{SELECT} WHERE seq = ?1"))?;
        for seq in newest_of_series(db, query, since, before, limit)? {
            statement.query_row([seq], |row| add(row))?;
        }
    }
    if page.records.len() < limit {
        page.next = None;
    }
    Ok(page)
}

/// Returns the newest records of the triggers that a query names, newest first.
///
/// Each series has its records in order; a query over several would read and sort all of them.
fn newest_of_series(
    db: &Connection,
    query: &RunQuery,
    since: i64,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut series = db.prepare_cached(
        "SELECT number FROM series WHERE (?1 IS NULL OR script = ?1) AND (?2 IS NULL OR trigger = ?2)",
    )?;
    let series: Vec<i64> =
        series.query_map(params![query.script, query.trigger], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let classes: &[OutcomeClass] = match query.only {
        None => OutcomeClass::ALL,
        Some(OutcomeFilter::Failed) => &[OutcomeClass::Failed],
        Some(OutcomeFilter::Skipped) => &[OutcomeClass::Skipped],
    };
    let mut newest = db.prepare_cached(
        "SELECT seq FROM run WHERE series = ?1 AND class = ?2 AND seq < ?3 AND ended >= ?4 ORDER BY seq DESC LIMIT ?5",
    )?;
    let mut found: Vec<i64> = Vec::new();
    for (series, class) in series.iter().flat_map(|series| classes.iter().map(move |class| (series, *class))) {
        let rows = newest.query_map(params![series, class as i64, before, since, limit as i64], |row| row.get(0))?;
        for seq in rows {
            found.push(seq?);
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(limit);
    Ok(found)
}

/// Finds the newest record whose id equals `id` or ends with it.
pub(in crate::services::store::sqlite) fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<RunRecord>> {
    let sql = format!("{SELECT} WHERE substr(id, -length(?1)) = ?1 ORDER BY seq DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row([id], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let ended = Timestamp::from_microsecond(row.get(3)?).map_err(|error: jiff::Error| unreadable(3, error))?;
    let run = EncodedRun {
        id: row.get(0)?,
        script: row.get(1)?,
        trigger: row.get(2)?,
        ended,
        data: row.get(4)?,
        class: OutcomeClass::Succeeded,
    };
    json_run::decode(&run).or_else(|| run.decode()).ok_or_else(|| {
        unreadable(4, std::io::Error::new(std::io::ErrorKind::InvalidData, format!("run {} cannot be decoded", run.id)))
    })
}
