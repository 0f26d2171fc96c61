//! Size of the run history on disk, by series. Read once, and written with every append.

use std::collections::HashMap;

use rusqlite::{Connection, params};

/// Records of one trigger and one outcome class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Series {
    /// Number of the trigger.
    pub(super) number: i64,
    /// Outcome class.
    pub(super) class: u8,
}

/// Number and size of records.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Unit of a limit.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    Rows,
    Bytes,
}

impl Usage {
    pub(super) fn by(self, measure: Measure) -> u64 {
        match measure {
            Measure::Rows => self.rows,
            Measure::Bytes => self.bytes,
        }
    }
}

/// Sizes of all series that have records.
#[derive(Default)]
pub(super) struct SeriesUsage {
    sizes: HashMap<Series, SeriesSize>,
    changed: Vec<Series>,
}

#[derive(Default)]
struct SeriesSize {
    usage: Usage,
    is_changed: bool,
}

impl SeriesUsage {
    /// Reads the sizes.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut statement = db.prepare_cached("SELECT series, class, rows, bytes FROM usage")?;
        let sizes = statement.query_map([], |row| {
            let [rows, bytes] = [2, 3].map(|column| row.get::<_, i64>(column).map(i64::cast_unsigned));
            let usage = Usage { rows: rows?, bytes: bytes? };
            Ok((Series { number: row.get(0)?, class: row.get(1)? }, SeriesSize { usage, is_changed: false }))
        })?;
        Ok(Self { sizes: sizes.collect::<Result<_, _>>()?, changed: Vec::new() })
    }

    /// Writes the sizes that have changed.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        for series in std::mem::take(&mut self.changed) {
            let Some(size) = self.sizes.get_mut(&series) else { continue };
            size.is_changed = false;
            let Usage { rows, bytes } = size.usage;
            if rows == 0 {
                self.sizes.remove(&series);
                db.prepare_cached("DELETE FROM usage WHERE series = ?1 AND class = ?2")?
                    .execute(params![series.number, series.class])?;
            } else {
                let (rows, bytes) = (rows.cast_signed(), bytes.cast_signed());
                db.prepare_cached("INSERT OR REPLACE INTO usage (series, class, rows, bytes) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![series.number, series.class, rows, bytes])?;
            }
        }
        Ok(())
    }

    /// Adds records.
    pub(super) fn add(&mut self, series: Series, added: Usage) {
        let size = self.change(series);
        (size.rows, size.bytes) = (size.rows + added.rows, size.bytes + added.bytes);
    }

    /// Subtracts deleted records.
    pub(super) fn subtract(&mut self, series: Series, deleted: Usage) {
        let size = self.change(series);
        (size.rows, size.bytes) = (size.rows.saturating_sub(deleted.rows), size.bytes.saturating_sub(deleted.bytes));
    }

    /// Sets a series without records.
    pub(super) fn clear(&mut self, series: Series) {
        *self.change(series) = Usage::default();
    }

    /// Returns the size of a series.
    pub(super) fn get(&self, series: Series) -> Usage {
        self.sizes.get(&series).map(|size| size.usage).unwrap_or_default()
    }

    /// Returns all series that have records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Series, Usage)> {
        self.sizes.iter().filter(|(_, size)| size.usage.rows > 0).map(|(series, size)| (*series, size.usage))
    }

    fn change(&mut self, series: Series) -> &mut Usage {
        let size = self.sizes.entry(series).or_default();
        if !std::mem::replace(&mut size.is_changed, true) {
            self.changed.push(series);
        }
        &mut size.usage
    }
}
