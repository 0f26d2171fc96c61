//! Error messages of the database.

use rusqlite::ErrorCode;

use crate::services::store::error::Error;

/// Name of the database file in the data folder.
pub(in crate::services::store) const FILE: &str = "rhaid.db";

/// Source: <https://www.sqlite.org/rescode.html>, SQLITE_IOERR_SHMSIZE: no space left for the shared-memory file.
const IOERR_SHMSIZE: i32 = 4874;

/// Converts a database error; `doing` is the failed operation: `writing to`, `reading a value from`.
pub(super) fn failed(doing: &str, error: &rusqlite::Error) -> Error {
    Error::Failed(format!("{doing} {FILE}: {}", reason(error)))
}

/// Converts an error of a write.
#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
pub(super) fn write_failed(error: rusqlite::Error) -> Error {
    failed("writing to", &error)
}

/// Describes a database error.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    let is_out_of_space = error.sqlite_error().is_some_and(|error| error.extended_code == IOERR_SHMSIZE);
    match error.sqlite_error_code() {
        _ if is_out_of_space => "the disk is full".to_owned(),
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the disk or the file is read-only".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program keeps it locked".to_owned(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk has a fault: {error}"),
        _ => error.to_string(),
    }
}
