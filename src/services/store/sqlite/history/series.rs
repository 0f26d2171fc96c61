//! Numbers that stand for the names of a script and its trigger in other tables.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

/// Known numbers, by script and trigger.
#[derive(Default)]
pub(super) struct SeriesNumbers(HashMap<String, HashMap<String, i64>>);

impl SeriesNumbers {
    /// Forgets the numbers, some of which a rollback may have removed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the number of a trigger; assigns one to a new trigger.
    pub(super) fn number(&mut self, db: &Connection, script: &str, trigger: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(script).and_then(|triggers| triggers.get(trigger)) {
            return Ok(*number);
        }
        let stored = db
            .prepare_cached("SELECT number FROM series WHERE script = ?1 AND trigger = ?2")?
            .query_row([script, trigger], |row| row.get(0))
            .optional()?;
        let number = match stored {
            Some(number) => number,
            None => {
                let insert = "INSERT INTO series (script, trigger) VALUES (?1, ?2)";
                db.prepare_cached(insert)?.insert([script, trigger])?
            }
        };
        self.0.entry(script.to_owned()).or_default().insert(trigger.to_owned(), number);
        Ok(number)
    }
}
