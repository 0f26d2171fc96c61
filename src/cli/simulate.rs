//! `rhaid simulate`: runs scripts in a sandbox, for a day or with recorded events.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use crate::cli::environment::call_webhook;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::cli::timeline::format_entry;
use crate::sim::{EventLine, Simulation, TimelineEntry, read_events};
use crate::units::parse_time;

/// Run scripts in a sandbox for a day or with recorded events, and show their actions
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid simulate                                   # today, from midnight to midnight
  rhaid simulate --from 2026-03-29 --to 2026-03-30 # a day with a daylight saving change
  rhaid simulate --events day.jsonl                # a file from `rhaid record`
  rhaid simulate porch garden/pump                 # only these scripts

The sandbox has a virtual clock, a mock broker, mock HTTP servers, and its own state and files, which are empty at the start. \
Nothing outside is changed, except by programs that scripts run with exec(). An HTTP request without a recorded response fails.

Exits with 0 if no run failed, else with 1.")]
pub(super) struct Args {
    /// Scripts to run [default: all scripts of the folder]
    #[arg(value_name = "SCRIPT")]
    only: Vec<String>,
    /// Start time [default: the first event, or else the start of today]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End time [default: the last event and the runs that it starts, or else one day after the start]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Events to play: one JSON object per line, as written by `rhaid record`
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Seed of the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Write the output to a file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Runs the simulation and prints its timeline.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let lines = match &args.events {
        None => Vec::new(),
        Some(file) => read_events(file, &zone).map_err(UsageError)?,
    };
    let (from, to) = period(args, &lines, &zone)?;
    let simulation = Simulation {
        config,
        zone,
        scripts: args.only.clone(),
        events: lines,
        from,
        to,
        waits_for_runs: args.to.is_none(),
        seed: args.seed,
        call_webhook,
    };
    let timeline = simulation.run()?;
    print_timeline(args, &timeline)?;
    let is_good = timeline.iter().all(|entry| !entry.is_bad);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// Returns the start and the end of the simulation.
fn period(args: &Args, lines: &[EventLine], zone: &TimeZone) -> anyhow::Result<(Zoned, Zoned)> {
    let read = |text: &str, option: &str| -> anyhow::Result<Zoned> {
        parse_time(text, zone).map_err(|why| UsageError(format!("{option}: {why}")).into())
    };
    let from = match (&args.from, lines.first()) {
        (Some(from), _) => read(from, "--from")?,
        (None, Some(first)) => first.time.clone(),
        (None, None) => Zoned::now().with_time_zone(zone.clone()).start_of_day()?,
    };
    let to = match (&args.to, lines.last()) {
        (Some(to), _) => read(to, "--to")?,
        (None, Some(last)) => last.time.clone(),
        (None, None) => from.checked_add(1.day())?,
    };
    if to < from {
        return Err(UsageError(format!("the end {to} is before the start {from}")).into());
    }
    Ok((from, to))
}

fn print_timeline(args: &Args, timeline: &[TimelineEntry]) -> anyhow::Result<()> {
    let mut text = String::new();
    for entry in timeline {
        match args.json {
            true => text.push_str(&serde_json::to_string(entry)?),
            false => text.push_str(&format_entry(entry)),
        }
        text.push('\n');
    }
    match &args.output {
        None => terminal::print(&text),
        Some(file) => {
            let plain = anstream::adapter::strip_str(&text).to_string();
            std::fs::write(file, plain).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}
