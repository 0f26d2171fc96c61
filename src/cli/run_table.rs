//! Table of runs, with a line for runs that were counted instead of recorded.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::{OmittedRow, RunEntry, RunRow};
use crate::cli::log::short_run_id;
use crate::cli::table::{Cell, table};
use crate::cli::terminal::{Style, paint, sanitize};
use crate::units::show_duration;

/// Number of triggers between two runs that have a line each; more share a line.
const MAX_LINES: usize = 3;

/// Returns the runs as a table, with lines for the omitted ones between them.
pub(super) fn shown(entries: &[RunEntry], zone: &TimeZone) -> String {
    let runs = entries.iter().filter_map(|entry| match entry {
        RunEntry::Run(run) => Some(row(run, zone)),
        RunEntry::Omitted(_) => None,
    });
    let table = table(&["TIME", "RUN", "SCRIPT", "EVENT", "TOOK", "OUTCOME", "WHY"], runs.collect());
    let mut lines = table.lines();
    let mut text = String::new();
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    lines.next().into_iter().for_each(&mut push);
    let mut hint = " (history.success: sample)";
    for part in entries.chunk_by(|one, next| is_omitted(one) && is_omitted(next)) {
        let omitted: Vec<_> = part.iter().filter_map(omitted).collect();
        if omitted.is_empty() {
            lines.next().into_iter().for_each(&mut push);
        }
        for line in omitted_lines(&omitted, zone) {
            push(&paint(Style::Dim, &format!("{line}{hint}")));
            hint = "";
        }
    }
    text
}

fn is_omitted(entry: &RunEntry) -> bool {
    omitted(entry).is_some()
}

fn omitted(entry: &RunEntry) -> Option<&OmittedRow> {
    match entry {
        RunEntry::Omitted(omitted) => Some(omitted),
        RunEntry::Run(_) => None,
    }
}

/// Returns a line for each trigger, or one for all if there are many.
fn omitted_lines(omitted: &[&OmittedRow], zone: &TimeZone) -> Vec<String> {
    let period = |from: Timestamp, until: Timestamp| {
        let (from, until) = (from.to_zoned(zone.clone()), until.to_zoned(zone.clone()));
        let format = if from.date() == until.date() { "%H:%M:%S" } else { "%m-%d %H:%M:%S" };
        format!("between {} and {}", from.strftime("%m-%d %H:%M:%S"), until.strftime(format))
    };
    let line = |count: u64, subject: &str, from, until| {
        let successes = if count == 1 { "success" } else { "successes" };
        format!("… {} more quick {successes} of {subject} {}", grouped(count), period(from, until))
    };
    let ends = (omitted.iter().map(|row| row.from).min(), omitted.iter().map(|row| row.until).max());
    match ends {
        (Some(from), Some(until)) if omitted.len() > MAX_LINES => {
            let count = omitted.iter().map(|row| row.omitted).sum();
            vec![line(count, &format!("{} triggers", omitted.len()), from, until)]
        }
        _ => {
            let subject = |row: &OmittedRow| sanitize(&format!("{}: {}", row.script, row.trigger));
            omitted.iter().map(|row| line(row.omitted, &subject(row), row.from, row.until)).collect()
        }
    }
}

/// Returns a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn row(run: &RunRow, zone: &TimeZone) -> Vec<Cell> {
    let took = match run.took_ms {
        None => "-".to_owned(),
        Some(0) => "<1ms".to_owned(),
        Some(took) => show_duration(Duration::from_millis(took)),
    };
    let why = run.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    vec![
        Cell::plain(run.queued.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string()),
        Cell::styled(Style::Dim, short_run_id(&run.id)),
        Cell::styled(Style::Name, sanitize(&run.script)),
        Cell::plain(sanitize(&run.event)),
        Cell::plain(took),
        Cell::styled(outcome_style(&run.outcome), run.outcome.clone()),
        Cell::plain(sanitize(why)),
    ]
}

/// Returns the style of an outcome.
pub(super) fn outcome_style(outcome: &str) -> Style {
    match outcome {
        "succeeded" => Style::Success,
        "failed" | "timed out" => Style::Error,
        _ => Style::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn run(id: &str, second: i64) -> RunEntry {
        RunEntry::Run(Box::new(RunRow {
            id: id.into(),
            script: "a".into(),
            version: 1,
            trigger: "cron".into(),
            event: "cron * * * * *".into(),
            attempt: 0,
            queued: at(second),
            started: Some(at(second)),
            ended: at(second),
            took_ms: Some(0),
            outcome: "succeeded".into(),
            why: None,
            effects: Vec::new(),
        }))
    }

    fn omitted(trigger: &str, second: i64, count: u64) -> RunEntry {
        let (from, until) = (at(second), at(second + 1));
        RunEntry::Omitted(OmittedRow { omitted: count, script: "a".into(), trigger: trigger.into(), from, until })
    }

    #[test]
    fn omitted_runs_have_a_line_between_the_runs() {
        let many = (0..5).map(|number| omitted(&format!("t{number}"), 0, 200)).collect::<Vec<_>>();
        let few = [omitted("cron", 1, 24_950), omitted("every", 1, 1)];
        let entries = [few.as_slice(), &[run("1hq3xyz000002", 1)], &many, &[run("1hq3xyz000001", 0)]].concat();
        let text = anstream::adapter::strip_str(&shown(&entries, &TimeZone::UTC)).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1..=4],
            [
                "… 24,950 more quick successes of a: cron between 01-15 08:00:01 and 08:00:02 (history.success: sample)",
                "… 1 more quick success of a: every between 01-15 08:00:01 and 08:00:02",
                "01-15 08:00:01  0002  a       cron * * * * *  <1ms  succeeded",
                "… 1,000 more quick successes of 5 triggers between 01-15 08:00:00 and 08:00:01",
            ]
        );
        assert!(lines[0].starts_with("TIME") && lines[5].starts_with("01-15 08:00:00") && lines.len() == 6, "{text}");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
