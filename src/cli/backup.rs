//! `rhaid backup`: copies the database, also while rhaid is running.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::api::Request;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::control::{Connection, NotRunning};
use crate::services::store;
use crate::units::show_size;

/// Copy the database to a file, whether rhaid is running or not
#[derive(clap::Args)]
#[command(after_help = "Example:
  rhaid backup /var/backups/rhaid.db

The copy contains state, timers, accepted versions of scripts, the list of disabled scripts and the run history, but not the data of the embedded broker. \
An existing file is replaced after the copy is complete.

To restore: stop rhaid, move rhaid.db, rhaid.db-wal and rhaid.db-shm out of the data folder, copy the file there as rhaid.db, \
and start rhaid. A backup of an older version is migrated at the start.")]
pub(super) struct Args {
    /// File to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the backup.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let data = settings::load(globals)?.data;
    match Connection::open(&data) {
        Ok(mut running) => running.ask::<()>(&Request::Flush)?,
        Err(error) if error.is::<NotRunning>() => {}
        Err(error) => return Err(error),
    }
    let size = store::back_up(&data, &args.file)?;
    terminal::print(&format!("wrote {} ({})\n", args.file.display(), show_size(size)));
    Ok(ExitCode::SUCCESS)
}
