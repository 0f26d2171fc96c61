//! What is seen of a held world: messages, requests, runs and log lines, each alone or all in the order of time.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Zoned;

use super::Sandbox;
use crate::cli::terminal::{Style, paint, sanitize};
use crate::runtime::LogLine;
use crate::services::store::{RunQuery, RunRecord};
use crate::value::{Map, Value, map_of};

/// How many runs are looked at.
const RUNS: usize = 100_000;

/// How many of the last things that happened are shown.
const SHOWN: usize = 20;

/// Something that happened.
#[derive(Debug, Clone, serde::Serialize)]
pub(in crate::cli) struct TimelineEntry {
    /// When.
    pub(in crate::cli) time: Zoned,
    /// `run`, `message`, `request` or `log`.
    pub(in crate::cli) what: &'static str,
    /// Whose; empty if that is not known.
    pub(in crate::cli) script: String,
    /// In a few words.
    pub(in crate::cli) text: String,
    /// Whether something went wrong.
    pub(in crate::cli) is_bad: bool,
}

impl Sandbox {
    pub(super) fn all_published(&self) -> Vec<Map> {
        let all = self.brokers.published().into_iter();
        all.map(|published| {
            let payload = match String::from_utf8(published.publish.payload.to_vec()) {
                Ok(text) => Value::from(text),
                Err(bytes) => Value::Bytes(bytes.into_bytes()),
            };
            map_of([
                ("topic".into(), published.publish.topic.as_str().into()),
                ("payload".into(), payload),
                ("qos".into(), i64::from(published.publish.qos).into()),
                ("retain".into(), published.publish.retain.into()),
                ("broker".into(), published.broker.as_str().into()),
                ("time".into(), Value::Time(published.at.to_zoned(self.zone.clone()))),
            ])
        })
        .collect()
    }

    pub(super) fn all_logs(&self) -> Vec<Map> {
        let mut lines = self.baseline().logs.clone();
        lines.extend(self.with(|instance| Ok(instance.runtime.recent_logs())).unwrap_or_default());
        // What rhaid says of a script counts if something is wrong.
        let counts = |line: &&Arc<LogLine>| {
            !line.run.is_empty() || (!line.script.is_empty() && matches!(line.level, "warn" | "error"))
        };
        let of_scripts = lines.iter().filter(counts);
        of_scripts
            .map(|line| {
                map_of([
                    ("script".into(), line.script.as_str().into()),
                    ("level".into(), line.level.into()),
                    ("text".into(), line.text.as_str().into()),
                    ("time".into(), Value::Time(line.at.to_zoned(self.zone.clone()))),
                ])
            })
            .collect()
    }

    /// Returns what became of events, oldest first.
    pub(super) fn rows(&self) -> Result<Vec<RunRecord>, String> {
        self.store.flush();
        let rows = self.store.runs(&RunQuery { limit: RUNS, ..RunQuery::default() });
        let mut rows = rows.map_err(|error| error.to_string())?;
        rows.retain(|row| row.trigger != "reload");
        rows.reverse();
        Ok(rows)
    }

    pub(super) fn shown_run(&self, row: &RunRecord) -> Map {
        map_of([
            ("script".into(), row.script.as_str().into()),
            ("trigger".into(), row.trigger.as_str().into()),
            ("event".into(), row.event.as_str().into()),
            ("outcome".into(), row.outcome.as_str().into()),
            ("time".into(), Value::Time(row.started.unwrap_or(row.ended).to_zoned(self.zone.clone()))),
            ("why".into(), row.why.as_deref().map_or(Value::Null, Value::from)),
        ])
    }

    /// Does not count the runs of a script so far as failures that failed in this way; the last that failed must be one.
    pub(super) fn excuse_failure(&self, script: &str, kind: &str) -> Result<(), String> {
        let rows = self.rows()?;
        let failed = rows.iter().rev().find(|row| row.script == script && is_failure(row));
        let Some(row) = failed else { return Err(format!("expected a run of {script} to fail, and none did")) };
        if !failed_with(row, kind) {
            let why = row.why.as_deref().unwrap_or_default();
            return Err(format!("expected a run of {script} to fail with {kind}, it failed with: {why}"));
        }
        let alike = rows.iter().filter(|row| row.script == script && is_failure(row) && failed_with(row, kind));
        self.baseline().excused.extend(alike.map(|row| row.id.clone()));
        Ok(())
    }

    /// Returns the first run that failed without being excused.
    pub(in crate::cli) fn unexcused(&self) -> Option<RunRecord> {
        let rows = self.rows().ok()?;
        let baseline = self.baseline();
        rows.into_iter().find(|row| is_failure(row) && !baseline.excused.contains(&row.id))
    }

    /// Returns all that happened, in the order of time.
    pub(in crate::cli) fn timeline(&self) -> Vec<TimelineEntry> {
        let text = |map: &Map, name: &str| map.get(name).map(|value| value.preview(120)).unwrap_or_default();
        let plain = |map: &Map, name: &str| map.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
        let time = |map: &Map| match map.get("time") {
            Some(Value::Time(time)) => time.clone(),
            _ => self.clock.now_zoned(),
        };
        let mut all = Vec::new();
        for row in self.rows().unwrap_or_default() {
            let at = row.started.unwrap_or(row.ended).to_zoned(self.zone.clone());
            let why = row.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
            let outcome = if row.outcome == "succeeded" { String::new() } else { format!(": {} {why}", row.outcome) };
            let is_bad = is_failure(&row);
            all.push(TimelineEntry {
                time: at,
                what: "run",
                script: row.script,
                text: format!("{}{outcome}", row.event),
                is_bad,
            });
        }
        for message in self.all_published() {
            let shown = format!("{} {}", plain(&message, "topic"), text(&message, "payload"));
            all.push(TimelineEntry {
                time: time(&message),
                what: "message",
                script: String::new(),
                text: shown,
                is_bad: false,
            });
        }
        for request in self.mocks.requests().iter() {
            let shown = format!("{} {} {}", plain(request, "method"), plain(request, "url"), text(request, "status"));
            all.push(TimelineEntry {
                time: time(request),
                what: "request",
                script: String::new(),
                text: shown,
                is_bad: false,
            });
        }
        for line in self.all_logs() {
            let is_bad = plain(&line, "level") == "error";
            let shown =
                format!("{} {}", plain(&line, "level"), plain(&line, "text").lines().next().unwrap_or_default());
            all.push(TimelineEntry {
                time: time(&line),
                what: "log",
                script: plain(&line, "script"),
                text: shown,
                is_bad,
            });
        }
        all.sort_by_key(|entry| entry.time.timestamp());
        all
    }
}

/// Returns the last things that happened, a line each.
pub(in crate::cli) fn lines(timeline: &[TimelineEntry]) -> String {
    let mut text = String::new();
    let left = timeline.len().saturating_sub(SHOWN);
    if !timeline.is_empty() {
        let before = if left > 0 { format!(" (the last {SHOWN} of {})", timeline.len()) } else { String::new() };
        let _ = writeln!(text, "       what happened{before}:");
    }
    for entry in &timeline[left..] {
        let _ = writeln!(text, "         {}", line(entry));
    }
    text
}

/// Returns one thing that happened as a line.
pub(in crate::cli) fn line(entry: &TimelineEntry) -> String {
    let time = entry.time.strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string();
    let script = if entry.script.is_empty() { String::new() } else { format!("{}: ", entry.script) };
    let text = sanitize(&format!("{script}{}", entry.text));
    let text = if entry.is_bad { paint(Style::Error, &text) } else { text };
    format!("{} {:<7} {text}", paint(Style::Dim, &time), entry.what)
}

/// Returns whether a run failed with an error of a kind, or one whose words hold this.
fn failed_with(row: &RunRecord, kind: &str) -> bool {
    row.why.as_deref().unwrap_or_default().contains(kind)
        || row.effects.iter().any(|effect| effect.fault.starts_with(kind))
        || (kind == "timeout" && row.outcome == "timed out")
}

fn is_failure(row: &RunRecord) -> bool {
    matches!(row.outcome.as_str(), "failed" | "timed out")
}
