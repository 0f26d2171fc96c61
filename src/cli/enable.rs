//! `rhaid enable` and `rhaid disable`: whether a script is woken.

use std::process::ExitCode;

use crate::api::Request;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::control::Connection;

/// What `disable --help` says.
pub(super) const DISABLE: &str = "\
Stop waking a script, also after a restart

Its runs are cancelled and its triggers stop; its state and its timers stay. `rhaid enable SCRIPT` wakes it again.";

/// Wake a script again that was disabled
#[derive(clap::Args)]
pub(super) struct Args {
    /// The script's name: its file below the scripts folder, without .rhai
    #[arg(value_name = "SCRIPT")]
    script: String,
}

/// Switches a script of the running rhaid on or off.
pub(super) fn run(args: &Args, globals: &Globals, enabled: bool) -> anyhow::Result<ExitCode> {
    let request = Request::SetEnabled { script: args.script.clone(), enabled };
    Connection::open(&settings::load(globals)?.data)?.ask::<()>(&request)?;
    let word = if enabled { "enabled" } else { "disabled" };
    terminal::print(&format!("{} is {word}\n", paint(Style::Name, &args.script)));
    Ok(ExitCode::SUCCESS)
}
