//! How much of the ledger is kept: what is dull gives way first, and what there is most of.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::read::insert;
use super::row::{Class, RetentionPolicy, RunRecord};

/// The quotas' parts of the whole, by class: failures stay longest.
const SHARES: [u64; 3] = [1, 1, 2];

/// Counting waits for a moment in which no run waits for its commit, but not for more rows than this.
const UNCOUNTED: u64 = 50_000;

/// How often the age of rows is looked at.
const AGED: SignedDuration = SignedDuration::from_secs(60);

/// So many rows are looked at together for their age.
const OLDEST: usize = 500;

/// What is on disk, by trigger and outcome; counted when there is time for it.
#[derive(Default)]
pub(in crate::services::store) struct Tally {
    held: Option<HashMap<Lane, Held>>,
    uncounted: u64,
    aged: Option<Timestamp>,
}

/// One trigger's rows of one class: what is over its share gives way within the lane that holds most.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    script: String,
    trigger: String,
    class: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    rows: u64,
    bytes: u64,
}

/// What a limit is about.
#[derive(Clone, Copy)]
enum Measure {
    Rows,
    Bytes,
}

impl Held {
    fn by(self, measure: Measure) -> u64 {
        match measure {
            Measure::Rows => self.rows,
            Measure::Bytes => self.bytes,
        }
    }
}

impl Tally {
    /// Forgets the count, for when a transaction was undone.
    pub(in crate::services::store) fn forget(&mut self) {
        self.held = None;
    }

    /// Writes rows and takes away what is over, inside the caller's transaction; `is_calm` if nobody waits for it.
    pub(in crate::services::store) fn write(
        &mut self,
        db: &Connection,
        rows: &VecDeque<RunRecord>,
        keep: RetentionPolicy,
        is_calm: bool,
    ) -> rusqlite::Result<()> {
        let mut held = self.held.take();
        for row in rows {
            let bytes = insert(db, row)?;
            if let Some(held) = &mut held {
                let lane =
                    Lane { script: row.script.clone(), trigger: row.trigger.clone(), class: Class::of(row) as u8 };
                let lane = held.entry(lane).or_default();
                (lane.rows, lane.bytes) = (lane.rows + 1, lane.bytes + bytes);
            }
        }
        let mut held = match held {
            Some(held) => held,
            None if is_calm || self.uncounted > UNCOUNTED => count(db)?,
            None => {
                self.uncounted += rows.len() as u64;
                return Ok(());
            }
        };
        self.uncounted = 0;
        if let Some(newest) = rows.back().map(|row| row.ended) {
            self.expire(db, &mut held, newest, keep)?;
        }
        trim(db, &mut held, Measure::Rows, keep.rows)?;
        trim(db, &mut held, Measure::Bytes, keep.bytes)?;
        self.held = Some(held);
        Ok(())
    }

    /// Takes away what is too old, now and then.
    fn expire(
        &mut self,
        db: &Connection,
        held: &mut HashMap<Lane, Held>,
        now: Timestamp,
        keep: RetentionPolicy,
    ) -> rusqlite::Result<()> {
        if self.aged.is_some_and(|aged| now.duration_since(aged).abs() < AGED) {
            return Ok(());
        }
        self.aged = Some(now);
        let Ok(oldest) = now.checked_sub(keep.age) else { return Ok(()) };
        let mut statement = db.prepare_cached(
            "DELETE FROM run WHERE seq IN (SELECT seq FROM run ORDER BY seq LIMIT ?1) AND ended < ?2
             RETURNING script, trigger, class, size",
        )?;
        loop {
            let gone = statement.query_map(params![OLDEST as i64, oldest.as_microsecond()], |row| {
                let lane = Lane { script: row.get(0)?, trigger: row.get(1)?, class: row.get(2)? };
                Ok((lane, row.get::<_, i64>(3)?.cast_unsigned()))
            })?;
            let gone: Vec<(Lane, u64)> = gone.collect::<Result<_, _>>()?;
            let count = gone.len();
            for (lane, bytes) in gone {
                take(held, &lane, Held { rows: 1, bytes });
            }
            if count < OLDEST {
                return Ok(());
            }
        }
    }
}

fn count(db: &Connection) -> rusqlite::Result<HashMap<Lane, Held>> {
    let mut statement =
        db.prepare("SELECT script, trigger, class, count(*), sum(size) FROM run GROUP BY script, trigger, class")?;
    let lanes = statement.query_map([], |row| {
        let lane = Lane { script: row.get(0)?, trigger: row.get(1)?, class: row.get(2)? };
        let [rows, bytes] = [3, 4].map(|column| row.get::<_, i64>(column).map(i64::cast_unsigned));
        Ok((lane, Held { rows: rows?, bytes: bytes? }))
    })?;
    lanes.collect()
}

/// Takes away the oldest of what there is most of, until the limit holds.
fn trim(db: &Connection, held: &mut HashMap<Lane, Held>, measure: Measure, limit: u64) -> rusqlite::Result<()> {
    let mut excess = held.values().map(|held| held.by(measure)).sum::<u64>().saturating_sub(limit);
    if excess > 0 {
        // A little more, so that a full ledger is not looked through for every few rows.
        excess += limit / 256;
    }
    while excess > 0
        && let Some((lane, over)) = heaviest(held, measure, limit)
    {
        let there = held.get(&lane).copied().unwrap_or_default();
        let each = there.by(measure).div_ceil(there.rows.max(1)).max(1);
        let rows = excess.min(over).div_ceil(each).min(there.rows.div_ceil(2)).max(1);
        let gone = evict(db, &lane, rows)?;
        if gone.rows == 0 {
            held.remove(&lane);
            continue;
        }
        take(held, &lane, gone);
        excess = excess.saturating_sub(gone.by(measure));
    }
    Ok(())
}

/// Returns the lane that holds most, of the class that is most over its share, and by how much that is.
fn heaviest(held: &HashMap<Lane, Held>, measure: Measure, limit: u64) -> Option<(Lane, u64)> {
    let parts: u64 = SHARES.iter().sum();
    let mut classes = [0; SHARES.len()];
    for (lane, held) in held {
        *classes.get_mut(usize::from(lane.class))? += held.by(measure);
    }
    let over = |class: usize| i128::from(classes[class]) - i128::from(limit * SHARES[class] / parts);
    let class = (0..SHARES.len()).filter(|class| classes[*class] > 0).max_by_key(|class| over(*class))?;
    let lanes = held.iter().filter(|(lane, _)| usize::from(lane.class) == class);
    let (lane, _) = lanes.max_by_key(|(_, held)| held.by(measure))?;
    Some((lane.clone(), u64::try_from(over(class)).unwrap_or(0)))
}

fn evict(db: &Connection, lane: &Lane, rows: u64) -> rusqlite::Result<Held> {
    let mut statement = db.prepare_cached(
        "DELETE FROM run WHERE seq IN
             (SELECT seq FROM run WHERE script = ?1 AND trigger = ?2 AND class = ?3 ORDER BY seq LIMIT ?4)
         RETURNING size",
    )?;
    let wanted = params![lane.script, lane.trigger, lane.class, rows.cast_signed()];
    let sizes = statement.query_map(wanted, |row| row.get::<_, i64>(0))?;
    sizes
        .map(|size| size.map(i64::cast_unsigned))
        .try_fold(Held::default(), |gone, size| size.map(|size| Held { rows: gone.rows + 1, bytes: gone.bytes + size }))
}

fn take(held: &mut HashMap<Lane, Held>, lane: &Lane, gone: Held) {
    if let Some(there) = held.get_mut(lane) {
        there.rows = there.rows.saturating_sub(gone.rows);
        there.bytes = there.bytes.saturating_sub(gone.bytes);
        if there.rows == 0 {
            held.remove(lane);
        }
    }
}
