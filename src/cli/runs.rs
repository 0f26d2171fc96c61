//! `rhaid runs`: what happened, and what became of it.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::log::short;
use crate::cli::screen::{self, Tone, harmless};
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::control::{Connection, NotRunning, Request, RunRow};
use crate::services::store::{Query, Store};
use crate::units::show_duration;

/// Show the last runs, and the events that became none, newest first
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid runs
  rhaid runs thermostat --failed
  rhaid runs -n 1000 --json | jq 'map(.took_ms) | max'")]
pub(super) struct Args {
    /// Only this script's
    #[arg(value_name = "SCRIPT")]
    script: Option<String>,
    /// Only those that failed or timed out
    #[arg(long)]
    failed: bool,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the runs.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = settings::load(globals)?;
    let limit = args.count as usize;
    let runs: Vec<RunRow> = match Connection::open(&config.data) {
        Ok(mut running) => running.ask(&Request::Runs { script: args.script.clone(), failed: args.failed, limit })?,
        // Where none runs, what it left behind is read.
        Err(error) if error.is::<NotRunning>() && config.data.is_dir() => {
            let query = Query { script: args.script.clone(), failed: args.failed, limit };
            Store::open(&config.data)?.rows(&query)?.into_iter().map(RunRow::from).collect()
        }
        Err(error) => return Err(error),
    };
    if args.json {
        screen::say_json(&runs)?;
    } else if runs.is_empty() {
        screen::say(if args.failed { "no run failed\n" } else { "nothing has run yet\n" });
    } else {
        let zone = settings::zone(config.timezone.as_deref())?;
        screen::say(&shown(&runs, &zone));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(runs: &[RunRow], zone: &jiff::tz::TimeZone) -> String {
    let rows: Vec<_> = runs.iter().map(|run| row(run, zone)).collect();
    table(&["TIME", "RUN", "SCRIPT", "EVENT", "TOOK", "OUTCOME", "WHY"], rows)
}

fn row(run: &RunRow, zone: &jiff::tz::TimeZone) -> Vec<Cell> {
    let took = match run.took_ms {
        None => "-".to_owned(),
        Some(0) => "<1ms".to_owned(),
        Some(took) => show_duration(Duration::from_millis(took)),
    };
    let tone = match run.outcome.as_str() {
        "succeeded" => Tone::Good,
        "failed" | "timed out" => Tone::Error,
        _ => Tone::Warn,
    };
    let why = run.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    vec![
        Cell::plain(run.queued.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string()),
        Cell::toned(Tone::Quiet, short(&run.id)),
        Cell::toned(Tone::Name, harmless(&run.script)),
        Cell::plain(harmless(&run.event)),
        Cell::plain(took),
        Cell::toned(tone, run.outcome.clone()),
        Cell::plain(harmless(why)),
    ]
}
