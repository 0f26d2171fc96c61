//! `rhaid replay`: runs a handler again with an event of the run history, also as a dry run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::api::Request;
use crate::cli::exit::FAILURE;
use crate::cli::fire::{self, shown};
use crate::cli::local_run;
use crate::cli::run_info::find;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, sanitize};
use crate::control::Connection;
use crate::event::Event;
use crate::runtime::{Replayed, restore_payload, trigger_name};
use crate::services::clock::Clock;
use crate::sim::LocalScript;
use crate::value::Value;

/// Run a handler again with an event of the run history
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid replay 7hk2                            # in the running rhaid
  rhaid replay 7hk2 --dry                      # show the effects without carrying them out
  rhaid replay 7hk2 --script edited.rhai       # a dry run of another version of the script

A dry run works without a running rhaid. It reads state, timers, files and MQTT messages, but publishes and writes nothing. \
Functions that need a response (http_*, exec, mqtt_request) throw an error of kind `dry`.")]
pub(super) struct Args {
    /// Id of the run or its last characters, as shown by `rhaid runs` and the log
    #[arg(value_name = "RUN")]
    run: String,
    /// Show the effects without carrying them out
    #[arg(long)]
    dry: bool,
    /// Dry run with this file in place of the script
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays the event and prints the outcome.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    if !args.dry && args.script.is_none() {
        let replayed: Replayed = Connection::open(&config.data)?.ask(&Request::Replay { id: args.run.clone() })?;
        if args.json {
            terminal::print_json(&replayed)?;
        } else {
            let id = crate::cli::log::short_run_id(&replayed.run);
            terminal::print(&format!("{}for details: rhaid run-info {id}\n", shown(&replayed.fired)));
        }
        return Ok(fire::code(&replayed.fired));
    }
    let Some(info) = find(&args.run, &config.data)? else {
        terminal::print_error(&format!("there is no run {}: see `rhaid runs`\n", sanitize(&args.run)));
        return Ok(ExitCode::from(FAILURE));
    };
    let zone = settings::zone(config.timezone.as_deref())?;
    let root = std::path::absolute(&config.scripts)?;
    let file = format!("{}.rhai", info.run.script);
    let script = LocalScript::load(&config, &root, &file, args.script.as_deref(), zone.clone())?;
    let Some(script) = local_run::loaded_or_print_faults(script) else { return Ok(ExitCode::from(FAILURE)) };
    let at = script.position(|declared| trigger_name(declared) == info.run.trigger);
    let at = at.ok_or_else(|| local_run::missing_trigger(&script, &format!("trigger `{}`", info.run.trigger)))?;
    let payload = restore_payload(Value::from_stored(info.payload));
    let event = Event::new(info.run.queued, info.run.event, payload);
    let mut run = local_run::run(&script, at, &event, Clock::system(zone), true)?;
    run.kept = info.kept;
    local_run::print(&run, args.json)
}
