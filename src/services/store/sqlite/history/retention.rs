//! Retention policy: low-priority records are evicted first, and within a priority those of the trigger that has most.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use crate::services::store::run_record::{OutcomeClass, RetentionPolicy, RunRecord};
use crate::services::store::sqlite::history::omitted::OmittedUsage;
use crate::services::store::sqlite::history::records::insert;
use crate::services::store::sqlite::history::series::SeriesNumbers;
use crate::services::store::storage::AppendRuns;

/// Shares of the limits, by outcome class: failures are kept longest.
const SHARES: [u64; 3] = [1, 1, 2];

/// Counting all records is put off while commits wait, but for no more than this number of new records.
const MAX_UNCOUNTED: u64 = 50_000;

/// How often the age of records is checked.
const AGE_CHECK: SignedDuration = SignedDuration::from_secs(60);

/// Number of records whose age is checked by one statement.
const AGE_CHECK_ROWS: usize = 500;

/// Size of the run history on disk, by series. Counted once, then updated with every write.
#[derive(Default)]
pub(in crate::services::store::sqlite) struct HistoryUsage {
    usage: Option<SeriesUsage>,
    uncounted: u64,
    omitted: OmittedUsage,
    numbers: SeriesNumbers,
    age_checked: Option<Timestamp>,
}

type SeriesUsage = HashMap<Series, Usage>;

/// Records of one trigger and one outcome class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Series {
    script: String,
    trigger: String,
    class: u8,
}

impl Series {
    fn of(record: &RunRecord) -> Self {
        let class = OutcomeClass::of(record) as u8;
        Self { script: record.script.clone(), trigger: record.trigger.clone(), class }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    rows: u64,
    bytes: u64,
}

/// Unit of a limit.
#[derive(Clone, Copy)]
enum Measure {
    Rows,
    Bytes,
}

impl Usage {
    fn by(self, measure: Measure) -> u64 {
        match measure {
            Measure::Rows => self.rows,
            Measure::Bytes => self.bytes,
        }
    }
}

impl HistoryUsage {
    /// Discards the count after a rollback.
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
        // After an error the count stays discarded.
        let mut counted = self.usage.take();
        for record in &runs.records {
            let bytes = insert(db, record)?;
            if let Some(counted) = &mut counted {
                let usage = counted.entry(Series::of(record)).or_default();
                (usage.rows, usage.bytes) = (usage.rows + 1, usage.bytes + bytes);
            }
        }
        let mut usage = match counted {
            Some(usage) => usage,
            None if !runs.is_urgent || self.uncounted > MAX_UNCOUNTED => count(db)?,
            None => {
                self.uncounted += runs.records.len() as u64;
                return Ok(());
            }
        };
        self.uncounted = 0;
        let newest = runs.records.back().map(|record| record.ended);
        if let Some(newest) = newest.max(runs.omitted.last().map(|omitted| omitted.from)) {
            self.expire(db, &mut usage, newest, retention)?;
        }
        trim(db, &mut usage, Measure::Rows, retention.rows)?;
        trim(db, &mut usage, Measure::Bytes, retention.bytes)?;
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
             RETURNING script, trigger, class, size",
        )?;
        loop {
            let deleted = statement.query_map(params![AGE_CHECK_ROWS as i64, oldest.as_microsecond()], |row| {
                let series = Series { script: row.get(0)?, trigger: row.get(1)?, class: row.get(2)? };
                Ok((series, row.get::<_, i64>(3)?.cast_unsigned()))
            })?;
            let deleted: Vec<(Series, u64)> = deleted.collect::<Result<_, _>>()?;
            let count = deleted.len();
            for (series, bytes) in deleted {
                subtract(usage, &series, Usage { rows: 1, bytes });
            }
            if count < AGE_CHECK_ROWS {
                return Ok(());
            }
        }
    }
}

fn count(db: &Connection) -> rusqlite::Result<SeriesUsage> {
    let mut statement =
        db.prepare("SELECT script, trigger, class, count(*), sum(size) FROM run GROUP BY script, trigger, class")?;
    let counted = statement.query_map([], |row| {
        let series = Series { script: row.get(0)?, trigger: row.get(1)?, class: row.get(2)? };
        let [rows, bytes] = [3, 4].map(|column| row.get::<_, i64>(column).map(i64::cast_unsigned));
        Ok((series, Usage { rows: rows?, bytes: bytes? }))
    })?;
    counted.collect()
}

/// Evicts the oldest records of the largest series until the limit holds.
fn trim(db: &Connection, usage: &mut SeriesUsage, measure: Measure, limit: u64) -> rusqlite::Result<()> {
    let mut excess = usage.values().map(|usage| usage.by(measure)).sum::<u64>().saturating_sub(limit);
    if excess > 0 {
        // A little more, so that a full history is not trimmed at every append.
        excess += limit / 256;
    }
    while excess > 0
        && let Some((series, over)) = largest(usage, measure, limit)
    {
        let size = usage.get(&series).copied().unwrap_or_default();
        let row_size = size.by(measure).div_ceil(size.rows.max(1)).max(1);
        let rows = excess.min(over).div_ceil(row_size).min(size.rows.div_ceil(2)).max(1);
        let evicted = evict(db, &series, rows)?;
        if evicted.rows == 0 {
            usage.remove(&series);
            continue;
        }
        subtract(usage, &series, evicted);
        excess = excess.saturating_sub(evicted.by(measure));
    }
    Ok(())
}

/// Returns the largest series of the class that exceeds its share most, and the excess of that class.
fn largest(usage: &SeriesUsage, measure: Measure, limit: u64) -> Option<(Series, u64)> {
    let parts: u64 = SHARES.iter().sum();
    let mut classes = [0; SHARES.len()];
    for (series, usage) in usage {
        *classes.get_mut(usize::from(series.class))? += usage.by(measure);
    }
    let over = |class: usize| i128::from(classes[class]) - i128::from(limit * SHARES[class] / parts);
    let class = (0..SHARES.len()).filter(|class| classes[*class] > 0).max_by_key(|class| over(*class))?;
    let candidates = usage.iter().filter(|(series, _)| usize::from(series.class) == class);
    let (series, _) = candidates.max_by_key(|(_, usage)| usage.by(measure))?;
    Some((series.clone(), u64::try_from(over(class)).unwrap_or(0)))
}

fn evict(db: &Connection, series: &Series, rows: u64) -> rusqlite::Result<Usage> {
    let mut statement = db.prepare_cached(
        "DELETE FROM run WHERE seq IN
             (SELECT seq FROM run WHERE script = ?1 AND trigger = ?2 AND class = ?3 ORDER BY seq LIMIT ?4)
         RETURNING size",
    )?;
    let parameters = params![series.script, series.trigger, series.class, rows.cast_signed()];
    let sizes = statement.query_map(parameters, |row| row.get::<_, i64>(0))?;
    sizes.map(|size| size.map(i64::cast_unsigned)).try_fold(Usage::default(), |evicted, size| {
        size.map(|size| Usage { rows: evicted.rows + 1, bytes: evicted.bytes + size })
    })
}

fn subtract(usage: &mut SeriesUsage, series: &Series, deleted: Usage) {
    if let Some(size) = usage.get_mut(series) {
        size.rows = size.rows.saturating_sub(deleted.rows);
        size.bytes = size.bytes.saturating_sub(deleted.bytes);
        if size.rows == 0 {
            usage.remove(series);
        }
    }
}
