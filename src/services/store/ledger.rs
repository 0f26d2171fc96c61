//! The ledger: rows that wait to be written, quotas by outcome, lists.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::effect::Effect;
use crate::services::store::batch::{decoded, encoded, unreadable};
use crate::services::store::{Query, Row};
use crate::value::Value;

/// At most so many rows wait in memory.
const MAX_WAITING: usize = 8192;
/// At most about so many bytes wait in memory.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// How many rows are kept until [`Waiting::keep`] says otherwise.
const KEPT: u64 = 100_000;

/// The outcomes that share a quota; the numbers stand in the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Succeeded = 0,
    Skipped = 1,
    Failed = 2,
}

/// The quotas' parts of the whole, by class: failures stay longest.
const SHARES: [u64; 3] = [1, 1, 2];

fn class(row: &Row) -> Class {
    match row.outcome.as_str() {
        "succeeded" => Class::Succeeded,
        "failed" | "timed out" => Class::Failed,
        _ => Class::Skipped,
    }
}

/// Rows that are not on disk yet. Bounded: when full, the oldest that did not fail give way and are counted.
#[derive(Default)]
pub(super) struct Waiting(Mutex<State>);

struct State {
    rows: VecDeque<Row>,
    bytes: usize,
    thinned: u64,
    kept: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { rows: VecDeque::new(), bytes: 0, thinned: 0, kept: KEPT }
    }
}

impl Waiting {
    /// Says how many rows are kept on disk.
    pub(super) fn keep(&self, count: u64) {
        self.lock().kept = count;
    }

    /// Returns how many rows are kept on disk.
    pub(super) fn kept(&self) -> u64 {
        self.lock().kept
    }

    /// Adds a row, never waiting; returns whether it is the first to wait.
    pub(super) fn push(&self, row: Row) -> bool {
        let mut state = self.lock();
        let first = state.rows.is_empty();
        state.bytes += weight(&row);
        state.rows.push_back(row);
        state.thin();
        first
    }

    /// Returns whether no row waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().rows.is_empty()
    }

    /// Takes all rows.
    pub(super) fn take(&self) -> VecDeque<Row> {
        let mut state = self.lock();
        state.bytes = 0;
        mem::take(&mut state.rows)
    }

    /// Takes back rows that could not be written; they come before those that came meanwhile.
    pub(super) fn put_back(&self, mut rows: VecDeque<Row>) {
        let mut state = self.lock();
        state.bytes += rows.iter().map(weight).sum::<usize>();
        rows.append(&mut state.rows);
        state.rows = rows;
        state.thin();
    }

    /// Returns how many rows were dropped since this was last asked.
    pub(super) fn take_thinned(&self) -> u64 {
        mem::take(&mut self.lock().thinned)
    }

    /// Lists what waits, newest first.
    pub(super) fn newest(&self, query: &Query, limit: usize) -> Vec<Row> {
        let wanted = |row: &&Row| {
            query.script.as_ref().is_none_or(|script| *script == row.script)
                && (!query.failed || class(row) == Class::Failed)
        };
        self.lock().rows.iter().rev().filter(wanted).take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for a while: an eighth of the rows goes at once, so that a flood does not search for each.
    fn thin(&mut self) {
        if self.rows.len() <= MAX_WAITING && self.bytes <= MAX_WAITING_BYTES {
            return;
        }
        let before = self.rows.len();
        let (max_rows, max_bytes) = (MAX_WAITING / 8 * 7, MAX_WAITING_BYTES / 8 * 7);
        for only_dull in [true, false] {
            let (mut rows, mut bytes) = (self.rows.len(), self.bytes);
            self.rows.retain(|row| {
                let gives_way = (rows > max_rows || bytes > max_bytes) && !(only_dull && class(row) == Class::Failed);
                if gives_way {
                    rows -= 1;
                    bytes -= weight(row);
                }
                !gives_way
            });
            self.bytes = bytes;
        }
        self.thinned += (before - self.rows.len()) as u64;
    }
}

/// How many rows of each class are on disk; counted when first needed.
#[derive(Default)]
pub(super) struct Counts(Option<[u64; 3]>);

impl Counts {
    /// Forgets the count, for when a transaction was undone.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// Writes rows and takes away the oldest of what is over its quota, inside the caller's transaction.
    pub(super) fn write(&mut self, db: &Connection, rows: &VecDeque<Row>, kept: u64) -> rusqlite::Result<()> {
        let mut counts = match self.0.take() {
            Some(counts) => counts,
            None => count(db)?,
        };
        for row in rows {
            insert(db, row)?;
            counts[class(row) as usize] += 1;
        }
        while let Some((class, excess)) = over_quota(&counts, kept) {
            db.prepare_cached(
                "DELETE FROM run WHERE seq IN (SELECT seq FROM run WHERE class = ?1 ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![class as i64, excess.cast_signed()])?;
            counts[class] -= excess;
        }
        self.0 = Some(counts);
        Ok(())
    }
}

fn count(db: &Connection) -> rusqlite::Result<[u64; 3]> {
    let mut counts = [0; 3];
    for (class, count) in counts.iter_mut().enumerate() {
        let sql = "SELECT count(*) FROM run WHERE class = ?1";
        *count = db.query_row(sql, [class as i64], |row| row.get::<_, i64>(0))?.cast_unsigned();
    }
    Ok(counts)
}

/// Returns the class that is most over its share, and how many rows it gives, if there are too many rows in all.
fn over_quota(counts: &[u64; 3], kept: u64) -> Option<(usize, u64)> {
    let total: u64 = counts.iter().sum();
    let excess = total.checked_sub(kept).filter(|excess| *excess > 0)?;
    let parts: u64 = SHARES.iter().sum();
    let over = |class: usize| counts[class].saturating_sub(kept * SHARES[class] / parts);
    let class = (0..SHARES.len()).max_by_key(|class| over(*class))?;
    Some((class, excess.min(over(class).max(1))))
}

fn insert(db: &Connection, row: &Row) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO run (id, script, version, trigger, event, facts, queued, started, ended, class, outcome, why, effects)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        row.id,
        row.script,
        row.version.cast_signed(),
        row.trigger,
        row.event,
        encoded(&row.facts),
        row.queued.as_microsecond(),
        row.started.map(Timestamp::as_microsecond),
        row.ended.as_microsecond(),
        class(row) as i64,
        row.outcome,
        row.why,
        serde_json::to_string(&row.effects).unwrap_or_default(),
    ])?;
    Ok(())
}

/// Lists rows that are on disk, newest first.
pub(super) fn list(db: &Connection, query: &Query, limit: usize) -> rusqlite::Result<Vec<Row>> {
    let script = if query.script.is_some() { "script = ?1" } else { "?1 IS NULL" };
    let failed = if query.failed { " AND class = 2" } else { "" };
    let sql = format!(
        "SELECT id, script, version, trigger, event, facts, queued, started, ended, outcome, why, effects
         FROM run WHERE {script}{failed} ORDER BY seq DESC LIMIT ?2"
    );
    db.prepare_cached(&sql)?.query_map(params![query.script, limit as i64], read_row)?.collect()
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let time = |column: usize, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|error: jiff::Error| unreadable(column, error))
    };
    Ok(Row {
        id: row.get(0)?,
        script: row.get(1)?,
        version: row.get::<_, i64>(2)?.cast_unsigned(),
        trigger: row.get(3)?,
        event: row.get(4)?,
        // A payload may nest deeper than can be read again: the row is worth listing without it.
        facts: decoded(row, 5).unwrap_or_default(),
        queued: time(6, row.get(6)?)?,
        started: row.get::<_, Option<i64>>(7)?.map(|micros| time(7, micros)).transpose()?,
        ended: time(8, row.get(8)?)?,
        outcome: row.get(9)?,
        why: row.get(10)?,
        effects: serde_json::from_slice(row.get_ref(11)?.as_bytes()?).map_err(|error| unreadable(11, error))?,
    })
}

/// About how many bytes a row holds.
fn weight(row: &Row) -> usize {
    let effects: usize = row.effects.iter().map(Effect::weight).sum();
    256 + row.event.len() + row.why.as_ref().map_or(0, String::len) + effects + value_weight(&row.facts)
}

fn value_weight(value: &Value) -> usize {
    32 + match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(value_weight).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + value_weight(value)).sum(),
        _ => 0,
    }
}
