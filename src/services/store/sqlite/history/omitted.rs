//! Counts of runs that are left out of the run history, by trigger and period.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::services::store::omitted_runs::OmittedRuns;
use crate::services::store::run_record::{RetentionPolicy, RunQuery};
use crate::services::store::sqlite::decode::unreadable;
use crate::services::store::sqlite::history::series::SeriesNumbers;

/// Part of the limits of the run history that counts may take: one over this number.
const SHARE: u64 = 8;
/// Approximate size of a count on disk, in bytes.
const ROW_BYTES: u64 = 32;
/// Largest number of counts in a list.
const MAX_LISTED: i64 = 100_000;

/// Number of stored counts. Read once, then updated with every write.
#[derive(Default)]
pub(super) struct OmittedUsage(Option<u64>);

impl OmittedUsage {
    /// Discards the number after a rollback.
    pub(super) fn invalidate(&mut self) {
        self.0 = None;
    }

    /// Adds counts and deletes the oldest beyond their share of the limits; returns how much of the limits is left.
    pub(super) fn append(
        &mut self,
        db: &Connection,
        series: &mut SeriesNumbers,
        omitted: &[OmittedRuns],
        retention: RetentionPolicy,
    ) -> rusqlite::Result<RetentionPolicy> {
        let mut rows = match self.0.take() {
            Some(rows) => rows,
            None => db.query_row("SELECT count(*) FROM omitted", [], |row| row.get(0).map(i64::cast_unsigned))?,
        };
        for count in omitted {
            let series = series.number(db, &count.script, &count.trigger)?;
            rows += u64::from(add(db, series, count)?);
        }
        let limit = (retention.rows / SHARE).min(retention.bytes / SHARE / ROW_BYTES);
        if rows > limit {
            rows = rows.saturating_sub(delete_oldest(db, rows - limit)?);
        }
        self.0 = Some(rows);
        let (rows_left, bytes_left) =
            (retention.rows.saturating_sub(rows), retention.bytes.saturating_sub(rows * ROW_BYTES));
        Ok(RetentionPolicy { rows: rows_left, bytes: bytes_left, ..retention })
    }

    /// Deletes counts of periods before a moment.
    pub(super) fn expire(&mut self, db: &Connection, oldest: Timestamp) -> rusqlite::Result<()> {
        let deleted = db.prepare_cached("DELETE FROM omitted WHERE until <= ?1")?.execute([oldest.as_second()])?;
        self.0 = self.0.map(|rows| rows.saturating_sub(deleted as u64));
        Ok(())
    }
}

/// Adds a count; returns whether it took a new row.
fn add(db: &Connection, series: i64, omitted: &OmittedRuns) -> rusqlite::Result<bool> {
    let (until, since) = (omitted.until.as_second(), omitted.from.as_second());
    let count = omitted.count.cast_signed();
    let row = params![until, series, since, count];
    let update = "UPDATE omitted SET count = count + ?4 WHERE until = ?1 AND series = ?2 AND since = ?3";
    if db.prepare_cached(update)?.execute(row)? > 0 {
        return Ok(false);
    }
    db.prepare_cached("INSERT INTO omitted (until, series, since, count) VALUES (?1, ?2, ?3, ?4)")?.execute(row)?;
    Ok(true)
}

/// Deletes the counts of the oldest seconds, at least `rows` if there are as many; returns their number.
fn delete_oldest(db: &Connection, rows: u64) -> rusqlite::Result<u64> {
    let find = "SELECT until FROM omitted ORDER BY until LIMIT 1 OFFSET ?1";
    let last: Option<i64> =
        db.prepare_cached(find)?.query_row([rows.saturating_sub(1).cast_signed()], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(0) };
    Ok(db.prepare_cached("DELETE FROM omitted WHERE until <= ?1")?.execute([last])? as u64)
}

/// Lists counts, newest first.
pub(in crate::services::store::sqlite) fn list(
    db: &Connection,
    query: &RunQuery,
    after: Timestamp,
) -> rusqlite::Result<Vec<OmittedRuns>> {
    if query.only.is_some() {
        return Ok(Vec::new());
    }
    // A period ends in whole seconds: `until > after` needs no fraction.
    let after = query.since.map_or(after, |since| since.max(after)).as_second();
    let mut statement = db.prepare_cached(
        "SELECT script, trigger, since, until, count FROM omitted JOIN series ON number = series
         WHERE until > ?1 AND (?2 IS NULL OR script = ?2) AND (?3 IS NULL OR trigger = ?3)
         ORDER BY until DESC, series, since LIMIT ?4",
    )?;
    let rows = statement.query_map(params![after, query.script, query.trigger, MAX_LISTED], omitted)?;
    rows.collect()
}

fn omitted(row: &Row<'_>) -> rusqlite::Result<OmittedRuns> {
    let time = |column: usize| {
        Timestamp::from_second(row.get(column)?).map_err(|error: jiff::Error| unreadable(column, error))
    };
    Ok(OmittedRuns {
        script: row.get(0)?,
        trigger: row.get(1)?,
        from: time(2)?,
        until: time(3)?,
        count: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}
