//! `rhaid logs`: shows the latest log lines of the running rhaid.

use std::process::ExitCode;

use crate::api::{LogLine, Request};
use crate::cli::log::{LogEntry, TimestampFormat};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::control::Connection;

/// Show the latest log lines of the running rhaid
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid logs
  rhaid logs -f thermostat
  rhaid logs --log-level debug
  rhaid logs --json | jq -r 'select(.level == \"error\").message'")]
pub(super) struct Args {
    /// Show only lines of this script
    #[arg(value_name = "SCRIPT")]
    script: Option<String>,
    /// Keep printing new lines
    #[arg(short, long)]
    follow: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = settings::load(globals)?;
    let zone = settings::zone(config.timezone.as_deref())?;
    let mut connection = Connection::open(&config.data)?;
    connection.send(&Request::Logs { script: args.script.clone(), follow: args.follow })?;
    while let Some(Some(line)) = connection.receive::<Option<LogLine>>()? {
        let level = line.level.into();
        if level > config.log.level_of(&line.script) {
            continue;
        }
        let at = line.at.to_zoned(zone.clone());
        let line = LogEntry::from_stored(line);
        terminal::print(&if args.json {
            line.json(level, &at)
        } else {
            line.text(level, &at, TimestampFormat::TimeOfDay)
        });
    }
    Ok(ExitCode::SUCCESS)
}
