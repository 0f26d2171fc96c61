//! `rhaid logs`: what the running rhaid's scripts have logged.

use std::process::ExitCode;

use crate::api::{LogLine, Request};
use crate::cli::log::{LogEntry, TimestampFormat};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::control::Connection;

/// Show what the scripts of the running rhaid logged last
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid logs
  rhaid logs -f thermostat
  rhaid logs --log-level debug
  rhaid logs --json | jq -r 'select(.level == \"error\").message'")]
pub(super) struct Args {
    /// Only this script's lines
    #[arg(value_name = "SCRIPT")]
    script: Option<String>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    follow: bool,
    /// Print one JSON object a line
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
        let line = LogEntry::of(line);
        terminal::print(&if args.json { line.json(level, &at) } else { line.text(level, &at, TimestampFormat::Clock) });
    }
    Ok(ExitCode::SUCCESS)
}
