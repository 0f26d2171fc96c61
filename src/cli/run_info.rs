//! `rhaid run-info`: shows event, effects and outcome of a run.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::api::{Request, RunInfo};
use crate::cli::exit::FAILURE;
use crate::cli::run_table::outcome_style;
use crate::cli::runs::ask_or_read;
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::effect::Effect;
use crate::runtime::restore_payload;
use crate::services::store::PayloadFidelity;
use crate::units::show_duration;
use crate::value::Value;

/// Number of payload lines that are shown as text.
const LINES: usize = 40;

/// Show event, effects and outcome of a run
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid run-info 7hk2
  rhaid run-info 7hk2 --json | jq .payload")]
pub(super) struct Args {
    /// Id of the run or its last characters, as shown by `rhaid runs` and the log
    #[arg(value_name = "RUN")]
    run: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the run.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = settings::load(globals)?;
    let Some(mut info) = find(&args.run, &config.data)? else {
        terminal::print_error(&format!(
            "there is no record of run {}: see `rhaid runs`, which shows where quick successes were counted only\n",
            sanitize(&args.run)
        ));
        return Ok(ExitCode::from(FAILURE));
    };
    info.payload = Value::Map(restore_payload(Value::from_stored(info.payload))).to_json();
    if args.json {
        terminal::print_json(&info)?;
    } else {
        terminal::print(&shown(&info, &settings::zone(config.timezone.as_deref())?));
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds a run by its id or the end of its id.
pub(super) fn find(id: &str, data: &std::path::Path) -> anyhow::Result<Option<RunInfo>> {
    let request = Request::Run { id: id.to_owned() };
    ask_or_read(data, &request, |store| Ok(store.run(id)?.map(RunInfo::from)))
}

fn shown(info: &RunInfo, zone: &TimeZone) -> String {
    let run = &info.run;
    let label = |name: &str| Cell::styled(Style::Dim, name);
    let script = if run.version > 0 { format!("{} v{}", run.script, run.version) } else { run.script.clone() };
    let mut head = vec![
        vec![label("run"), Cell::plain(run.id.clone())],
        vec![label("script"), Cell::styled(Style::Name, sanitize(&script))],
        vec![label("trigger"), Cell::plain(sanitize(&run.trigger))],
        vec![label("event"), Cell::plain(sanitize(&run.event))],
        vec![label("queued"), Cell::plain(moment(run.queued, zone))],
    ];
    if let Some(started) = run.started {
        head.push(vec![
            label("started"),
            Cell::plain(format!("{}{}", later(run.queued, started), attempt(run.attempt))),
        ]);
        head.push(vec![label("ended"), Cell::plain(later(started, run.ended))]);
    }
    head.push(vec![label("outcome"), Cell::styled(outcome_style(&run.outcome), run.outcome.clone())]);
    let mut text = aligned(&head);
    if let Some(why) = &run.why {
        text.push_str(&format!("\n{}\n", sanitize(why)));
    }
    if !run.effects.is_empty() {
        let is_kept = run.outcome == "succeeded";
        let rows: Vec<_> = run.effects.iter().map(|effect| row(effect, is_kept)).collect();
        text.push_str(&format!("\n{}\n{}", paint(Style::Heading, "effects"), aligned(&rows)));
    }
    text.push_str(&payload(info));
    text
}

fn attempt(attempt: u32) -> String {
    match attempt {
        0 => String::new(),
        1 => " (attempt 2)".to_owned(),
        more => format!(" (attempt {})", more + 1),
    }
}

fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}

/// Returns the signed time between two timestamps.
fn later(from: Timestamp, to: Timestamp) -> String {
    let between = to.duration_since(from);
    let sign = if between.is_negative() { "-" } else { "+" };
    format!("{sign}{}", brief(between.unsigned_abs()))
}

/// Returns a rounded duration: tenths of a millisecond below 10 ms, else milliseconds.
fn brief(duration: Duration) -> String {
    match duration.as_micros() {
        short @ 0..10_000 => format!("{}.{}ms", short / 1_000, short / 100 % 10),
        _ => show_duration(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
    }
}

/// Returns an effect as a table row.
pub(super) fn row(effect: &Effect, is_kept: bool) -> Vec<Cell> {
    let style = match &*effect.action {
        "error" => Style::Error,
        "warn" => Style::Warning,
        "info" | "debug" | "trace" => Style::Dim,
        _ => Style::Name,
    };
    let end = match (effect.fault.is_empty(), effect.deferred && !is_kept) {
        (false, _) => Cell::styled(Style::Error, sanitize(&effect.fault)),
        (true, true) => Cell::styled(Style::Warning, "rolled back"),
        (true, false) => Cell::styled(Style::Dim, sanitize(&effect.result)),
    };
    let took = if effect.took.is_zero() { String::new() } else { brief(effect.took) };
    vec![
        Cell::styled(Style::Dim, format!("  +{}", brief(effect.after))),
        Cell::styled(style, effect.action.clone()),
        Cell::plain(sanitize(&effect.details).replace('\n', " ")),
        Cell::styled(Style::Dim, took),
        end,
    ]
}

fn payload(info: &RunInfo) -> String {
    let is_empty = match &info.payload {
        Json::Object(map) => map.is_empty(),
        other => other.is_null(),
    };
    if is_empty {
        return String::new();
    }
    let note = match info.kept {
        PayloadFidelity::Whole => "",
        PayloadFidelity::Masked => " (secrets are masked)",
        PayloadFidelity::Cut => " (truncated: longer than history.payload)",
    };
    let json = format!("{:#}", info.payload);
    let mut text = format!("\n{}{note}\n", paint(Style::Heading, "payload"));
    for line in json.lines().take(LINES) {
        text.push_str(&format!("  {}\n", sanitize(line)));
    }
    if json.lines().count() > LINES {
        text.push_str("  … (use --json for the whole payload)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RunRow;

    #[test]
    fn a_run_is_shown_with_effects_and_payload() {
        let at = |micros: i64| Timestamp::from_microsecond(1_800_000_000_000_000 + micros).unwrap();
        let effect = |after, effect| Effect { after: Duration::from_micros(after), ..effect };
        let run = RunRow {
            id: "1hk2m3n4p5q6r7s".into(),
            script: "freezer".into(),
            version: 3,
            trigger: "nag".into(),
            event: "on_timer nag".into(),
            attempt: 1,
            queued: at(0),
            started: Some(at(2_500)),
            ended: at(152_500),
            took_ms: Some(150),
            outcome: "failed".into(),
            why: Some("freezer.rhai:3:5: no answer".into()),
            effects: vec![
                effect(300, Effect { deferred: true, ..Effect::new("state", "count = 3") }),
                effect(
                    1_000,
                    Effect {
                        took: Duration::from_millis(148),
                        fault: "timeout: no answer".into(),
                        ..Effect::new("http_get", "GET http://x/")
                    },
                ),
            ],
        };
        let info = RunInfo { run, payload: serde_json::json!({ "name": "nag" }), kept: PayloadFidelity::Whole };
        let text = anstream::adapter::strip_str(&shown(&info, &TimeZone::UTC)).to_string();
        let expected = "\
run      1hk2m3n4p5q6r7s
script   freezer v3
trigger  nag
event    on_timer nag
queued   2027-01-15 08:00:00.000 +00:00
started  +2.5ms (attempt 2)
ended    +150ms
outcome  failed

freezer.rhai:3:5: no answer

effects
  +0.3ms  state     count = 3             rolled back
  +1.0ms  http_get  GET http://x/  148ms  timeout: no answer

payload
  {
    \"name\": \"nag\"
  }
";
        assert_eq!(text, expected);
    }
}
