//! `rhaid list`: lists the scripts of the running rhaid with their triggers.

use std::process::ExitCode;

use jiff::Zoned;

use crate::api::Request;
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::cli::times::distance;
use crate::control::Connection;
use crate::runtime::{Listed, ListedTrigger, Status};
use crate::services::clock::Clock;

/// List the scripts of the running rhaid with their triggers
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid list
  rhaid list --json | jq -r '.[].name'")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the scripts.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = settings::load(globals)?;
    let scripts: Vec<Listed> = Connection::open(&config.data)?.ask(&Request::List)?;
    if args.json {
        terminal::print_json(&scripts)?;
    } else if scripts.is_empty() {
        terminal::print(&format!("no scripts in {}\n", config.scripts.display()));
    } else {
        let now = Clock::system(settings::zone(config.timezone.as_deref())?).now_zoned();
        terminal::print(&shown(&scripts, &now));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(scripts: &[Listed], now: &Zoned) -> String {
    let rows: Vec<_> = scripts.iter().flat_map(|script| rows(script, now)).collect();
    let mut text = table(&["SCRIPT", "VERSION", "STATE", "TRIGGER", "NEXT"], rows);
    for fault in scripts.iter().flat_map(|script| &script.faults) {
        text.push_str(&format!("\n{} {}\n", paint(Style::Error, "fault"), sanitize(fault)));
    }
    text
}

/// Returns a row for each trigger; the first row also describes the script.
fn rows(script: &Listed, now: &Zoned) -> Vec<Vec<Cell>> {
    let mut tails: Vec<_> = script.triggers.iter().map(|trigger| tail(trigger, now)).collect();
    if tails.is_empty() {
        tails.push([Cell::plain(""), Cell::plain("")]);
    }
    let heads = std::iter::once(head(script)).chain(std::iter::repeat_with(|| [const { Cell::empty() }; 3]));
    heads.zip(tails).map(|(head, tail)| head.into_iter().chain(tail).collect()).collect()
}

fn head(script: &Listed) -> [Cell; 3] {
    let version = if script.version > 0 { format!("v{}", script.version) } else { "-".to_owned() };
    let (tone, state) = match script.status {
        Status::Live => (Style::Success, "live"),
        Status::Kept => (Style::Warning, "kept, edit rejected"),
        Status::Paused => (Style::Warning, "paused"),
        Status::Rejected => (Style::Error, "rejected"),
        Status::Disabled => (Style::Dim, "disabled"),
        Status::Quarantined => (Style::Error, "quarantined"),
    };
    [Cell::styled(Style::Name, sanitize(&script.name)), Cell::plain(version), Cell::styled(tone, state)]
}

fn tail(trigger: &ListedTrigger, now: &Zoned) -> [Cell; 2] {
    let next = match (trigger.enabled, trigger.next) {
        (false, _) => "off".to_owned(),
        (true, Some(next)) => distance(now, &next.to_zoned(now.time_zone().clone())),
        (true, None) => String::new(),
    };
    let what = match trigger.name == trigger.summary {
        true => trigger.name.clone(),
        false => format!("{} ({})", trigger.name, trigger.summary),
    };
    let warning = trigger.times.as_ref().and_then(|times| times.warning.as_deref());
    let next = match (warning, next.is_empty()) {
        (None, _) => Cell::styled(Style::Dim, next),
        (Some(warning), true) => Cell::styled(Style::Warning, warning),
        (Some(warning), false) => Cell::styled(Style::Warning, format!("{next}, {warning}")),
    };
    [Cell::plain(sanitize(&what)), next]
}
