//! `rhaid next`: when a cron expression is due.

use std::process::ExitCode;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};

use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::services::clock::Clock;
use crate::triggers::{self, KINDS, TriggerContext};
use crate::units::show_duration;
use crate::value::{Map, Value};

/// Show when a cron expression is due next
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid next '*/15 * * * *'
  rhaid next '0 7 * * MON-FRI' -n 3 --timezone Europe/Oslo
  rhaid next @monthly --from 2027-01-01T00:00:00Z --json")]
pub(super) struct Args {
    /// A cron expression of 5 or 6 fields, or a name such as @daily
    #[arg(value_name = "CRON")]
    expression: String,
    /// How many times
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// The time zone, such as Europe/Oslo; by default rhaid.yaml's or the system's
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Start after this moment instead of now: RFC 3339, or a date and time in the zone
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Print a JSON array of RFC 3339 times
    #[arg(long)]
    json: bool,
}

/// Prints the next times, one a line.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let zone = zone(args, globals)?;
    let now = Clock::system(zone.clone()).now_zoned();
    let from = match &args.from {
        None => now.clone(),
        Some(text) => moment(text, &zone)?,
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

/// Returns a time as RFC 3339 writes it, to the millisecond.
pub(super) fn rfc3339(time: &Zoned) -> String {
    let timestamp = time.timestamp();
    // Only the last moments of the year 9999 can not be rounded.
    timestamp.round(Unit::Millisecond).unwrap_or(timestamp).display_with_offset(time.offset()).to_string()
}

/// Returns how far away a time is, as `in 5m`.
pub(super) fn distance(now: &Zoned, time: &Zoned) -> String {
    let seconds = time.timestamp().as_second().saturating_sub(now.timestamp().as_second()).unsigned_abs();
    format!("in {}", show_duration(std::time::Duration::from_secs(seconds)))
}

fn upcoming(args: &Args, zone: &TimeZone, from: &Zoned) -> anyhow::Result<Vec<Zoned>> {
    let kind = KINDS.iter().find(|kind| kind.name == "cron").context("this rhaid was built without cron")?;
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

fn moment(text: &str, zone: &TimeZone) -> anyhow::Result<Zoned> {
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned.with_time_zone(zone.clone()));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.to_zoned(zone.clone()));
    }
    let civil = text.parse::<jiff::civil::DateTime>().map_err(|_| {
        UsageError(format!(
            "--from: {text:?} is no time: write 2027-01-31T12:00:00Z, or 2027-01-31T12:00:00 in the zone"
        ))
    })?;
    Ok(civil.to_zoned(zone.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_with_and_without_a_zone() {
        let zone = TimeZone::get("Europe/Oslo").unwrap();
        let shown = |text| rfc3339(&moment(text, &zone).unwrap());
        assert_eq!(shown("2027-01-31T12:00:00Z"), "2027-01-31T13:00:00+01:00");
        assert_eq!(shown("2027-01-31T12:00:00"), "2027-01-31T12:00:00+01:00");
        assert_eq!(shown("2027-01-31"), "2027-01-31T00:00:00+01:00");
        assert!(moment("tomorrow", &zone).unwrap_err().to_string().contains("--from"));
    }
}
