//! `rhaid runs`: lists the run history.

use std::path::Path;
use std::process::ExitCode;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::de::DeserializeOwned;

use crate::api::{Request, RunEntry};
use crate::cli::exit::UsageError;
use crate::cli::run_table::shown;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::control::{Connection, NotRunning};
use crate::services::clock::Clock;
use crate::services::store::{self, OutcomeFilter, RunQuery, Store};
use crate::units::parse_duration;

/// List the latest runs and skipped events, newest first
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid runs
  rhaid runs thermostat --failed
  rhaid runs --skipped --since 2h
  rhaid runs -n 1000 --json | jq 'map(.took_ms) | max'

`rhaid run-info RUN` shows the details of a run. Quick successes beyond a sample are shown as a count (`history.success` in rhaid.yaml).")]
pub(super) struct Args {
    /// Show only runs of this script
    #[arg(value_name = "SCRIPT")]
    script: Option<String>,
    /// Show only runs of triggers with this name, as shown by `rhaid list`
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// Show only runs that failed or timed out
    #[arg(long)]
    failed: bool,
    /// Show only skipped events
    #[arg(long, conflicts_with = "failed")]
    skipped: bool,
    /// Show only runs that ended since a time ("2026-03-01 07:30", "07:30") or within a duration ("2h")
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Maximum number of runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn query(&self, zone: &TimeZone) -> anyhow::Result<RunQuery> {
        let only = match (self.failed, self.skipped) {
            (true, _) => Some(OutcomeFilter::Failed),
            (_, true) => Some(OutcomeFilter::Skipped),
            _ => None,
        };
        let now = Clock::system(zone.clone()).now_zoned();
        let since = self.since.as_deref().map(|since| parse_since(since, &now)).transpose()?;
        Ok(RunQuery {
            script: self.script.clone(),
            trigger: self.trigger.clone(),
            only,
            since,
            limit: self.count as usize,
        })
    }
}

/// Parses a duration before now, or a time.
fn parse_since(text: &str, now: &Zoned) -> anyhow::Result<Timestamp> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.timestamp().checked_sub(ago).unwrap_or(Timestamp::MIN));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Time>().map(|time| now.date().to_datetime(time)));
    let zoned = civil.and_then(|civil| civil.to_zoned(now.time_zone().clone()));
    let zoned = zoned.map_err(|_| {
        UsageError(format!(
            "--since {text}: write a duration such as 2h, or a time such as \"2026-03-01 07:30\" or 07:30"
        ))
    })?;
    Ok(zoned.timestamp())
}

/// Sends a request to the running rhaid, or reads the store if none is running.
pub(super) fn ask_or_read<T: DeserializeOwned>(
    data: &Path,
    request: &Request,
    read: impl FnOnce(&Store) -> Result<T, store::Error>,
) -> anyhow::Result<T> {
    match Connection::open(data) {
        Ok(mut running) => running.ask(request),
        Err(error) if error.is::<NotRunning>() && data.is_dir() => Ok(read(&Store::open(data)?)?),
        Err(error) => Err(error),
    }
}

/// Prints the runs.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = settings::load(globals)?;
    let zone = settings::zone(config.timezone.as_deref())?;
    let query = args.query(&zone)?;
    let request = Request::Runs { query: query.clone() };
    let read = |store: &Store| Ok(store.history(&query)?.into_iter().map(RunEntry::from).collect());
    let runs: Vec<RunEntry> = ask_or_read(&config.data, &request, read)?;
    if args.json {
        terminal::print_json(&runs)?;
    } else if runs.is_empty() {
        let is_narrow = query.script.is_some() || query.trigger.is_some() || query.since.is_some();
        terminal::print(match (query.only, is_narrow) {
            (Some(OutcomeFilter::Failed), _) => "no run failed\n",
            (Some(OutcomeFilter::Skipped), _) => "no event was skipped\n",
            (None, true) => "no run matches\n",
            (None, false) => "there are no runs yet\n",
        });
    } else {
        terminal::print(&shown(&runs, &zone));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_or_a_time_in_the_configured_zone() {
        let now: Zoned = "2026-03-01T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let read = |text: &str| parse_since(text, &now).map(|moment| moment.to_string());
        assert_eq!(read("2h").unwrap(), "2026-03-01T09:00:00Z");
        assert_eq!(read("2026-02-28 07:30").unwrap(), "2026-02-28T06:30:00Z");
        assert_eq!(read("07:30").unwrap(), "2026-03-01T06:30:00Z");
        assert_eq!(read("2026-02-28").unwrap(), "2026-02-27T23:00:00Z");
        assert_eq!(read("2026-02-28T07:30:00Z").unwrap(), "2026-02-28T07:30:00Z");
        assert!(read("yesterday").unwrap_err().to_string().contains("such as 2h"));
    }
}
