//! `rhaid list`: the scripts that run, and what wakes them.

use std::process::ExitCode;

use jiff::Zoned;

use crate::api::Request;
use crate::cli::next::distance;
use crate::cli::screen::{self, Tone, harmless, paint};
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::control::Connection;
use crate::runtime::{Listed, ListedTrigger, Status};
use crate::services::clock::Clock;

/// List the scripts of the running rhaid, and what wakes them
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
        screen::say_json(&scripts)?;
    } else if scripts.is_empty() {
        screen::say(&format!("no scripts in {}\n", config.scripts.display()));
    } else {
        let now = Clock::system(settings::zone(config.timezone.as_deref())?).now_zoned();
        screen::say(&shown(&scripts, &now));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(scripts: &[Listed], now: &Zoned) -> String {
    let rows: Vec<_> = scripts.iter().flat_map(|script| rows(script, now)).collect();
    let mut text = table(&["SCRIPT", "VERSION", "STATE", "TRIGGER", "NEXT"], rows);
    for fault in scripts.iter().flat_map(|script| &script.faults) {
        text.push_str(&format!("\n{} {}\n", paint(Tone::Error, "fault"), harmless(fault)));
    }
    text
}

/// Returns a row for each trigger; the script itself stands before the first.
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
        Status::Live => (Tone::Good, "live"),
        Status::Kept => (Tone::Warn, "kept, edit rejected"),
        Status::Paused => (Tone::Warn, "paused"),
        Status::Rejected => (Tone::Error, "rejected"),
        Status::Disabled => (Tone::Quiet, "disabled"),
        Status::Quarantined => (Tone::Error, "quarantined"),
    };
    [Cell::toned(Tone::Name, harmless(&script.name)), Cell::plain(version), Cell::toned(tone, state)]
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
        (None, _) => Cell::toned(Tone::Quiet, next),
        (Some(warning), true) => Cell::toned(Tone::Warn, warning),
        (Some(warning), false) => Cell::toned(Tone::Warn, format!("{next}, {warning}")),
    };
    [Cell::plain(harmless(&what)), next]
}
