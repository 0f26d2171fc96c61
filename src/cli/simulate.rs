//! `rhaid simulate`: runs scripts in a sandbox, for a day or with recorded events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use crate::cli::environment::on_script_thread;
use crate::cli::event_file::{self, EventLine, InputEvent};
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::sandbox::{LoadMode, Sandbox, TimelineEntry, UnmatchedHint, format_entry};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::cli::times::parse_time;
use crate::config::Config;
use crate::event::Id;
use crate::functions::testing::SandboxApi as _;
use crate::random;

/// Run scripts in a sandbox for a day or with recorded events, and show what they do
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid simulate                                   # today, from midnight to midnight
  rhaid simulate --from 2026-03-29 --to 2026-03-30 # a day with a daylight saving change
  rhaid simulate --events day.jsonl                # a file from `rhaid record`
  rhaid simulate porch garden/pump                 # only these scripts

The sandbox has a virtual clock, a mock broker, mock HTTP servers, and its own state and files, which are empty at the start.
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
        Some(file) => event_file::read(file, &zone)?,
    };
    let (from, to) = period(args, &lines, &zone)?;
    random::seed(args.seed);
    Id::reset_counter();
    let selection = if args.only.is_empty() { LoadMode::All } else { LoadMode::ByName };
    let sandbox = Sandbox::new(&config, &zone, selection, UnmatchedHint::Record)?;
    let played = on_script_thread(&config.limits, || {
        play(&sandbox, &config, &args.only, &lines, &from, &to)?;
        if args.to.is_none() { sandbox.finish(config.limits.timeout) } else { Ok(()) }
    })?;
    played.map_err(|why| anyhow::anyhow!(why))?;
    let timeline = sandbox.timeline();
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

fn play(
    sandbox: &Sandbox,
    config: &Config,
    scripts: &[String],
    lines: &[EventLine],
    from: &Zoned,
    to: &Zoned,
) -> Result<(), String> {
    sandbox.advance_to(&from.to_string())?;
    let mask = config.mask();
    let mut known = BTreeSet::new();
    // A request that is earlier than in the recording receives the first recorded response.
    for (method, url, reply) in lines.iter().filter_map(|line| line.event.response()) {
        if known.insert((method, url)) {
            sandbox.mock_recorded(method, url, reply.clone(), &mask)?;
        }
    }
    match scripts.is_empty() {
        true => sandbox.start()?,
        false => scripts.iter().try_for_each(|script| sandbox.load(script))?,
    }
    for line in lines.iter().filter(|line| line.time >= *from && line.time <= *to) {
        sandbox.advance_until(&line.time)?;
        let done = match &line.event {
            InputEvent::Message(publish) => sandbox.publish(publish.clone()),
            InputEvent::Request { method, path, with } => sandbox.request(method, path, with.clone()).map(|_| ()),
            InputEvent::File { path, text } => sandbox.change_file(path, text.as_deref()),
            InputEvent::Event { name, data } => sandbox.emit(name, data.clone()),
            InputEvent::Response { method, url, reply } => sandbox.mock_recorded(method, url, reply.clone(), &mask),
        };
        done.map_err(|why| format!("{}: {why}", line.place))?;
    }
    sandbox.advance_until(to)
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
