//! Copies state and timers from a database file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Copies the state and the timers of a file into an open database. Copies nothing if the file does not exist.
pub(super) fn copy_from(path: &Path, to: &Connection) -> rusqlite::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    // The first connection to a file that a killed process left behind recovers its write-ahead log, which requires write access.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(path, flags)?;
    from.busy_timeout(Duration::from_secs(5))?;
    for (table, columns) in [("state", "space, key, value"), ("timer", "owner, name, due, data")] {
        let count = columns.split(',').count();
        let parameters = vec!["?"; count].join(", ");
        let mut insert = to.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({parameters})"))?;
        let mut select = from.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let row: Vec<String> = (0..count).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            insert.execute(rusqlite::params_from_iter(row))?;
        }
    }
    Ok(())
}
