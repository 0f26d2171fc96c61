//! `rhaid enable` and `rhaid disable`: start and stop the triggers of a script.

use std::process::ExitCode;

use crate::api::Request;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::control::Connection;

/// Help text of `rhaid disable`.
pub(super) const DISABLE: &str = "\
Stop a script, also after a restart

Its runs are cancelled and its triggers are stopped; its state and timers are kept. `rhaid enable SCRIPT` starts it again.";

/// Start a disabled script again
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the script: its path below the scripts folder without .rhai
    #[arg(value_name = "SCRIPT")]
    script: String,
}

/// Enables or disables a script of the running rhaid.
pub(super) fn run(args: &Args, globals: &Globals, enabled: bool) -> anyhow::Result<ExitCode> {
    let request = Request::SetEnabled { script: args.script.clone(), enabled };
    Connection::open(&settings::load(globals)?.data)?.ask::<()>(&request)?;
    let word = if enabled { "enabled" } else { "disabled" };
    terminal::print(&format!("{} is {word}\n", paint(Style::Name, &args.script)));
    Ok(ExitCode::SUCCESS)
}
