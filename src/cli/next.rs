//! `rhaid next`: the next times of a cron expression.

use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::cli::times::{distance, rfc3339};
use crate::services::clock::Clock;
use crate::triggers::{self, KINDS, TriggerContext};
use crate::units::parse_time;
use crate::value::{Map, Value};

/// Show the next times of a cron expression
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid next '*/15 * * * *'
  rhaid next '0 7 * * MON-FRI' -n 3 --timezone Europe/Oslo
  rhaid next @monthly --from 2027-01-01T00:00:00Z --json")]
pub(super) struct Args {
    /// Cron expression with 5 or 6 fields, or a name such as @daily
    #[arg(value_name = "CRON")]
    expression: String,
    /// Number of times
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Time zone, such as Europe/Oslo [default: the zone of rhaid.yaml, or else of the system]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Start after this time instead of now: RFC 3339, or a date and time in the zone
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Print a JSON array of RFC 3339 times
    #[arg(long)]
    json: bool,
}

/// Prints the next times, one per line.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let zone = zone(args, globals)?;
    let now = Clock::system(zone.clone()).now_zoned();
    let from = match &args.from {
        None => now.clone(),
        Some(text) => {
            let time = parse_time(text, &zone).map_err(|why| UsageError(format!("--from: {why}")))?;
            time.with_time_zone(zone.clone())
        }
    };
    let times = upcoming(args, &zone, &from)?;
    if args.json {
        terminal::print_json(&times.iter().map(rfc3339).collect::<Vec<_>>())?;
    } else {
        for time in &times {
            let distance = if args.from.is_some() { String::new() } else { format!(" {}", distance(&now, time)) };
            let note = format!("  {}{distance}", time.strftime("%a"));
            terminal::print(&format!("{}{}\n", rfc3339(time), paint(Style::Dim, &note)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn upcoming(args: &Args, zone: &TimeZone, from: &Zoned) -> anyhow::Result<Vec<Zoned>> {
    let kind = KINDS.iter().find(|kind| kind.name == "cron").context("this build of rhaid has no cron trigger")?;
    let trigger_context =
        TriggerContext { zone: zone.clone(), location: None, brokers: std::sync::Arc::default(), base: ".".into() };
    let arguments = vec![Value::from(args.expression.as_str())];
    let written =
        triggers::read(kind, arguments, Map::new(), &trigger_context).map_err(|fault| UsageError(fault.to_string()))?;
    let times = written.trigger.upcoming(from, usize::from(args.count));
    if times.is_empty() {
        return Err(UsageError(format!("`{}` is never due", args.expression)).into());
    }
    Ok(times)
}

fn zone(args: &Args, globals: &Globals) -> anyhow::Result<TimeZone> {
    match &args.timezone {
        Some(name) => settings::zone(Some(name)),
        None => settings::zone(settings::load(globals)?.timezone.as_deref()),
    }
}
