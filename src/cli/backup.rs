//! `rhaid backup`: a copy of all that rhaid keeps, made while it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::api::Request;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::control::{Connection, NotRunning};
use crate::services::store;
use crate::units::show_size;

/// Copy all that rhaid keeps into a file, while it runs or not
#[derive(clap::Args)]
#[command(after_help = "Example:
  rhaid backup /var/backups/rhaid.db

The copy holds state, timers, accepted versions of scripts, what is disabled, and the run history; not what the embedded broker keeps.
An older copy of the same name is replaced when the new one is whole.

To restore: stop rhaid, move rhaid.db, rhaid.db-wal and rhaid.db-shm out of the data folder, copy the file there as rhaid.db,
start rhaid. A copy of an older rhaid is brought up to date at the start.")]
pub(super) struct Args {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the copy.
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
