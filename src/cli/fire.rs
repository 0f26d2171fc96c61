//! `rhaid fire`: fires a trigger manually.

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::api::Request;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::control::Connection;
use crate::runtime::Fired;

/// Fire a trigger in the running rhaid and show the outcome
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid fire hello
  rhaid fire clock hourly
  rhaid fire echo --data '{\"topic\": \"demo/ask/me\", \"payload\": \"hi\", \"params\": {\"name\": \"me\"}}'

Exits with 0 if the run succeeded, else with 1.")]
pub(super) struct Args {
    /// Name of the script: its path below the scripts folder without .rhai
    #[arg(value_name = "SCRIPT")]
    script: String,
    /// Name of the trigger, as shown by `rhaid list`; optional if the script has only one
    #[arg(value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Fields of the handler's argument as a JSON object; missing fields get the values of an event that occurs now. Any other value becomes the field `data`
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Fires the trigger, waits for the outcome and prints it.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let data = match args.data.as_deref().map(serde_json::from_str) {
        None => Json::Null,
        Some(Ok(data)) => data,
        Some(Err(error)) => return Err(UsageError(format!("--data: invalid JSON: {error}")).into()),
    };
    let request = Request::Fire { script: args.script.clone(), trigger: args.trigger.clone(), data };
    let fired: Fired = Connection::open(&settings::load(globals)?.data)?.ask(&request)?;
    if args.json {
        terminal::print_json(&fired)?;
    } else {
        terminal::print(&shown(&fired));
    }
    Ok(code(&fired))
}

/// Returns the exit code for an outcome.
pub(super) fn code(fired: &Fired) -> ExitCode {
    if succeeded(fired) { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) }
}

fn succeeded(fired: &Fired) -> bool {
    fired.outcome == "succeeded"
}

/// Returns an outcome as text.
pub(super) fn shown(fired: &Fired) -> String {
    let mut text = paint(if succeeded(fired) { Style::Success } else { Style::Error }, &fired.outcome);
    if let Some(why) = &fired.why {
        text.push_str(&format!(": {}", terminal::sanitize(why)));
    }
    match &fired.value {
        Json::Null => {}
        Json::String(value) => text.push_str(&format!("\n{}", terminal::sanitize(value))),
        value => text.push_str(&format!("\n{value:#}")),
    }
    text.push('\n');
    text
}
