//! `rhaid simulate`: the scripts of the folder in a held world, through a day or what was recorded.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::{ToSpan as _, Zoned};

use crate::cli::environment::on_script_thread;
use crate::cli::event_file::{self, EventLine, InputEvent};
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::sandbox::{Sandbox, TimelineEntry, line};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::cli::try_event;
use crate::config::Config;
use crate::event::Id;
use crate::functions::testing::SandboxApi as _;
use crate::random;

/// Play a day, or recorded events, to the scripts, and show what they would do
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid simulate                                   # today, from midnight to midnight
  rhaid simulate --from 2026-03-29 --to 2026-03-30 # the day the clocks change
  rhaid simulate --events day.jsonl                # what `rhaid record` wrote
  rhaid simulate porch garden/pump                 # only these scripts

Nothing real is touched, but programs that scripts run with exec(): the clock, the broker, answers of servers, state and files are of
a world of their own, which begins empty. Requests that no recorded answer fits fail.

Ends with 0 if no run failed, else with 1.")]
pub(super) struct Args {
    /// Only these scripts; by default all of the folder
    #[arg(value_name = "SCRIPT")]
    only: Vec<String>,
    /// When it begins; by default with the first event, or else today
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When it ends; by default with the last event and what that leads to at once, or else a day after it began
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// What comes from outside: one JSON object a line, as `rhaid record` writes them
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// What chance comes from: the same number, the same day
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Write what happens into a file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Plays it, and shows what happened.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let read = |text: &str| -> anyhow::Result<Zoned> {
        // A day is its first moment.
        match text.parse::<jiff::civil::Date>() {
            Ok(day) if text.len() == 10 => Ok(day.to_zoned(zone.clone())?),
            _ => Ok(try_event::parse_time(text, &zone)?),
        }
    };
    let lines = match &args.events {
        None => Vec::new(),
        Some(file) => event_file::read(file, &zone)?,
    };
    let from = match (&args.from, lines.first()) {
        (Some(from), _) => read(from).context("--from")?,
        (None, Some(first)) => first.time.clone(),
        (None, None) => Zoned::now().with_time_zone(zone.clone()).start_of_day()?,
    };
    let to = match (&args.to, lines.last()) {
        (Some(to), _) => read(to).context("--to")?,
        (None, Some(last)) => last.time.clone(),
        (None, None) => from.checked_add(1.day())?,
    };
    if to < from {
        return Err(UsageError(format!("it would end at {to} before it begins at {from}")).into());
    }
    random::seed(args.seed);
    Id::reset_counter();
    let world = Sandbox::new(&config, &zone, args.only.is_empty(), false)?;
    let played = on_script_thread(&config.limits, || {
        play(&world, &config, &args.only, &lines, &from, &to)?;
        if args.to.is_none() { world.finish(config.limits.timeout) } else { Ok(()) }
    })?;
    played.map_err(|why| anyhow::anyhow!(why))?;
    let timeline = world.timeline();
    tell(args, &timeline)?;
    let is_good = timeline.iter().all(|entry| !entry.is_bad);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn play(
    world: &Sandbox,
    config: &Config,
    scripts: &[String],
    lines: &[EventLine],
    from: &Zoned,
    to: &Zoned,
) -> Result<(), String> {
    world.advance_to(&from.to_string())?;
    let mask = config.mask();
    let mut known = BTreeSet::new();
    // A call that comes a little earlier than it did gets the first answer.
    for (method, url, reply) in lines.iter().filter_map(|line| line.event.answer()) {
        if known.insert((method, url)) {
            world.record(method, url, reply.clone(), &mask)?;
        }
    }
    match scripts.is_empty() {
        true => world.begin()?,
        false => scripts.iter().try_for_each(|script| world.load(script))?,
    }
    for line in lines.iter().filter(|line| line.time >= *from && line.time <= *to) {
        world.advance_until(&line.time)?;
        let done = match &line.event {
            InputEvent::Message(publish) => world.publish(publish.clone()),
            InputEvent::Request { method, path, with } => world.request(method, path, with.clone()).map(|_| ()),
            InputEvent::File { path, text } => world.change_file(path, text.as_deref()),
            InputEvent::Event { name, data } => world.emit(name, data.clone()),
            InputEvent::Answer { method, url, reply } => world.record(method, url, reply.clone(), &mask),
        };
        done.map_err(|why| format!("{}: {why}", line.place))?;
    }
    world.advance_until(to)
}

fn tell(args: &Args, timeline: &[TimelineEntry]) -> anyhow::Result<()> {
    let mut text = String::new();
    for entry in timeline {
        match args.json {
            true => text.push_str(&serde_json::to_string(entry)?),
            false => text.push_str(&line(entry)),
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
