//! `rhaid replay`: an event that is in the ledger wakes its handler again, for real or dry.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::api::Request;
use crate::cli::exit::FAILURE;
use crate::cli::fire::{self, shown};
use crate::cli::local_run::{self, LocalScript};
use crate::cli::run_info::find;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, sanitize};
use crate::control::Connection;
use crate::event::Event;
use crate::runtime::{Replayed, restore_payload, trigger_name};
use crate::services::clock::Clock;
use crate::value::Value;

/// Wake a handler again with an event from the run history
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid replay 7hk2                            # in the rhaid that runs
  rhaid replay 7hk2 --dry                      # shows what the script would do now, and does nothing
  rhaid replay 7hk2 --script edited.rhai       # the same with another version of the script

A dry run needs no running rhaid. It reads state, timers and files as they are, and what MQTT brings; it publishes, writes and waits for
nothing. What has an answer that nothing can stand in for (http_*, exec, mqtt_request) throws an error of kind `dry`.")]
pub(super) struct Args {
    /// The run, as `rhaid runs` and the log show it: its id, or the end of it
    #[arg(value_name = "RUN")]
    run: String,
    /// Show what the script would do, and do nothing
    #[arg(long)]
    dry: bool,
    /// The same with this file in the place of the script
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays, and prints how it ended.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    if !args.dry && args.script.is_none() {
        let replayed: Replayed = Connection::open(&config.data)?.ask(&Request::Replay { id: args.run.clone() })?;
        if args.json {
            terminal::print_json(&replayed)?;
        } else {
            let id = crate::cli::log::short(&replayed.run);
            terminal::print(&format!("{}rhaid run-info {id} shows what it did\n", shown(&replayed.fired)));
        }
        return Ok(fire::code(&replayed.fired));
    }
    let Some(info) = find(&args.run, &config.data)? else {
        terminal::print_error(&format!("there is no run {}: `rhaid runs` lists them\n", sanitize(&args.run)));
        return Ok(ExitCode::from(FAILURE));
    };
    let zone = settings::zone(config.timezone.as_deref())?;
    let root = std::path::absolute(&config.scripts)?;
    let file = format!("{}.rhai", info.run.script);
    let script = LocalScript::load(&config, &root, &file, args.script.as_deref(), zone.clone())?;
    let Some(script) = local_run::loaded_or_print_faults(script) else { return Ok(ExitCode::from(FAILURE)) };
    let at = script.position(|declared| trigger_name(declared) == info.run.trigger);
    let at = at.ok_or_else(|| script.no_such(&format!("trigger `{}`", info.run.trigger)))?;
    let payload = restore_payload(Value::from_stored(info.payload));
    let event = Event::new(info.run.queued.to_zoned(zone.clone()), info.run.event, payload);
    let mut played = script.play(at, &event, Clock::system(zone), true)?;
    played.kept = info.kept;
    played.tell(args.json)
}
