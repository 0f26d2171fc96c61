//! Retention policy: low-priority records are evicted first, and within a priority those of the trigger that has most.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use crate::services::store::run_record::{OutcomeClass, RetentionPolicy};
use crate::services::store::sqlite::history::omitted::OmittedUsage;
use crate::services::store::sqlite::history::records::{OVERHEAD, insert};
use crate::services::store::sqlite::history::series::SeriesNumbers;
use crate::services::store::sqlite::history::usage::{Measure, Series, SeriesUsage, Usage};
use crate::services::store::storage::AppendRuns;

/// Shares of the limits, by priority: failures are kept longest.
const SHARES: [u64; 3] = [1, 1, 2];

/// How often the age of records is checked.
const AGE_CHECK: SignedDuration = SignedDuration::from_secs(60);

/// Number of records whose age is checked by one statement.
const AGE_CHECK_ROWS: usize = 500;

/// Size of the run history on disk, and the numbers of its series. Read once, then updated with every write.
#[derive(Default)]
pub(in crate::services::store::sqlite) struct HistoryUsage {
    usage: Option<SeriesUsage>,
    omitted: OmittedUsage,
    numbers: SeriesNumbers,
    age_checked: Option<Timestamp>,
}

impl HistoryUsage {
    /// Discards what was read, after a rollback.
    pub(in crate::services::store::sqlite) fn invalidate(&mut self) {
        self.usage = None;
        self.omitted.invalidate();
        self.numbers.clear();
    }

    /// Appends records and counts and applies the retention policy, within the caller's savepoint.
    pub(in crate::services::store::sqlite) fn append(
        &mut self,
        db: &Connection,
        runs: &AppendRuns,
    ) -> rusqlite::Result<()> {
        self.append_all(db, runs).inspect_err(|_| self.invalidate())
    }

    fn append_all(&mut self, db: &Connection, runs: &AppendRuns) -> rusqlite::Result<()> {
        let retention = self.omitted.append(db, &mut self.numbers, &runs.omitted, runs.retention)?;
        let mut usage = match self.usage.take() {
            Some(usage) => usage,
            None => SeriesUsage::read(db)?,
        };
        for run in &runs.records {
            let series = Series { number: self.numbers.number(db, &run.script, &run.trigger)?, class: run.class as u8 };
            let bytes = insert(db, series.number, run)?;
            usage.add(series, Usage { rows: 1, bytes });
        }
        let newest = runs.records.back().map(|run| run.ended);
        if let Some(newest) = newest.max(runs.omitted.last().map(|omitted| omitted.from)) {
            self.expire(db, &mut usage, newest, retention)?;
        }
        trim(db, &mut usage, Measure::Rows, retention.rows)?;
        trim(db, &mut usage, Measure::Bytes, retention.bytes)?;
        usage.write(db)?;
        self.usage = Some(usage);
        Ok(())
    }

    /// Deletes records that are too old, at intervals.
    fn expire(
        &mut self,
        db: &Connection,
        usage: &mut SeriesUsage,
        now: Timestamp,
        retention: RetentionPolicy,
    ) -> rusqlite::Result<()> {
        if self.age_checked.is_some_and(|checked| now.duration_since(checked).abs() < AGE_CHECK) {
            return Ok(());
        }
        self.age_checked = Some(now);
        let Ok(oldest) = now.checked_sub(retention.age) else { return Ok(()) };
        self.omitted.expire(db, oldest)?;
        let mut statement = db.prepare_cached(
            "DELETE FROM run WHERE seq IN (SELECT seq FROM run ORDER BY seq LIMIT ?1) AND ended < ?2
             RETURNING series, class, length(id) + length(data)",
        )?;
        loop {
            let deleted = statement.query_map(params![AGE_CHECK_ROWS as i64, oldest.as_microsecond()], |row| {
                let series = Series { number: row.get(0)?, class: row.get(1)? };
                Ok((series, Usage { rows: 1, bytes: OVERHEAD + row.get::<_, i64>(2)?.cast_unsigned() }))
            })?;
            let deleted: Vec<(Series, Usage)> = deleted.collect::<Result<_, _>>()?;
            let count = deleted.len();
            deleted.into_iter().for_each(|(series, deleted)| usage.subtract(series, deleted));
            if count < AGE_CHECK_ROWS {
                return Ok(());
            }
        }
    }
}

/// Evicts the oldest records of the largest series until the limit holds.
fn trim(db: &Connection, usage: &mut SeriesUsage, measure: Measure, limit: u64) -> rusqlite::Result<()> {
    let mut excess = usage.iter().map(|(_, usage)| usage.by(measure)).sum::<u64>().saturating_sub(limit);
    if excess > 0 {
        // A little more, so that a full history is not trimmed at every append.
        excess += limit / 256;
    }
    while excess > 0
        && let Some((series, over)) = largest(usage, measure, limit)
    {
        let size = usage.get(series);
        let row_size = size.by(measure).div_ceil(size.rows.max(1)).max(1);
        let rows = excess.min(over).div_ceil(row_size).min(size.rows.div_ceil(2)).max(1);
        let evicted = evict(db, series, rows)?;
        if evicted.rows == 0 {
            usage.clear(series);
            continue;
        }
        usage.subtract(series, evicted);
        excess = excess.saturating_sub(evicted.by(measure));
    }
    Ok(())
}

/// Returns the largest series of the priority that exceeds its share most, and the excess of that priority.
fn largest(usage: &SeriesUsage, measure: Measure, limit: u64) -> Option<(Series, u64)> {
    let parts: u64 = SHARES.iter().sum();
    let mut sums = [0; SHARES.len()];
    for (series, usage) in usage.iter() {
        sums[OutcomeClass::priority(series.class)] += usage.by(measure);
    }
    let over = |priority: usize| i128::from(sums[priority]) - i128::from(limit * SHARES[priority] / parts);
    let priority = (0..SHARES.len()).filter(|priority| sums[*priority] > 0).max_by_key(|priority| over(*priority))?;
    let candidates = usage.iter().filter(|(series, _)| OutcomeClass::priority(series.class) == priority);
    let (series, _) = candidates.max_by_key(|(_, usage)| usage.by(measure))?;
    Some((series, u64::try_from(over(priority)).unwrap_or(0)))
}

fn evict(db: &Connection, series: Series, rows: u64) -> rusqlite::Result<Usage> {
    let mut statement = db.prepare_cached(
        "DELETE FROM run WHERE seq IN (SELECT seq FROM run WHERE series = ?1 AND class = ?2 ORDER BY seq LIMIT ?3)
         RETURNING length(id) + length(data)",
    )?;
    let sizes =
        statement.query_map(params![series.number, series.class, rows.cast_signed()], |row| row.get::<_, i64>(0))?;
    sizes.map(|size| size.map(i64::cast_unsigned)).try_fold(Usage::default(), |evicted, size| {
        size.map(|size| Usage { rows: evicted.rows + 1, bytes: evicted.bytes + OVERHEAD + size })
    })
}
