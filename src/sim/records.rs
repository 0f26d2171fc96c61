//! Records of a sandbox: messages, HTTP requests, runs and log lines; each kind alone, or all of them in order of time.

use std::sync::Arc;

use crate::runtime::LogLine;
use crate::services::store::{RunQuery, RunRecord};
use crate::sim::sandbox::Sandbox;
use crate::sim::timeline::TimelineEntry;
use crate::value::{Map, Value, map_of};

/// The largest number of runs that are read from the run history.
const RUNS: usize = 100_000;

impl Sandbox {
    /// Returns all published messages, oldest first.
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

    /// Returns all log lines of scripts, oldest first, also of earlier instances.
    pub(super) fn all_logs(&self) -> Vec<Map> {
        let mut lines = self.baseline().logs.clone();
        lines.extend(self.with(|instance| Ok(instance.runtime.recent_logs())).unwrap_or_default());
        // Lines of rhaid itself about a script count if they are warnings or errors.
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

    /// Returns all runs and skipped events, oldest first.
    pub(super) fn all_runs(&self) -> Result<Vec<RunRecord>, String> {
        self.store.flush();
        let rows = self.store.runs(&RunQuery { limit: RUNS, ..RunQuery::default() });
        let mut rows = rows.map_err(|error| error.to_string())?;
        rows.retain(|row| row.trigger != "reload");
        rows.reverse();
        Ok(rows)
    }

    /// Returns a run as `runs()` returns it to a test.
    pub(super) fn run_map(&self, row: &RunRecord) -> Map {
        map_of([
            ("script".into(), row.script.as_str().into()),
            ("trigger".into(), row.trigger.as_str().into()),
            ("event".into(), row.event.as_str().into()),
            ("outcome".into(), row.outcome.as_str().into()),
            ("time".into(), Value::Time(row.started.unwrap_or(row.ended).to_zoned(self.zone.clone()))),
            ("why".into(), row.why.as_deref().map_or(Value::Null, Value::from)),
        ])
    }

    /// Marks all failed runs of a script so far as expected if they failed with this kind of error.
    ///
    /// # Errors
    /// If no run of the script has failed, or the last failed one has another error.
    pub(super) fn mark_expected_failures(&self, script: &str, kind: &str) -> Result<(), String> {
        let rows = self.all_runs()?;
        let failed = rows.iter().rev().find(|row| row.script == script && is_failure(row));
        let Some(row) = failed else { return Err(format!("expected a run of {script} to fail, but none did")) };
        if !failed_with(row, kind) {
            let why = row.why.as_deref().unwrap_or_default();
            return Err(format!("expected a run of {script} to fail with {kind}, but it failed with: {why}"));
        }
        let alike = rows.iter().filter(|row| row.script == script && is_failure(row) && failed_with(row, kind));
        self.baseline().expected_failures.extend(alike.map(|row| row.id.clone()));
        Ok(())
    }

    /// Returns the first failed run that the test does not expect.
    pub(super) fn unexpected_failure(&self) -> Option<RunRecord> {
        let rows = self.all_runs().ok()?;
        let baseline = self.baseline();
        rows.into_iter().find(|row| is_failure(row) && !baseline.expected_failures.contains(&row.id))
    }

    /// Returns all records, in order of time.
    pub(super) fn timeline(&self) -> Vec<TimelineEntry> {
        let runs = self.all_runs().unwrap_or_default().into_iter().map(|run| self.run_entry(run));
        let messages = self.all_published().into_iter().map(|message| {
            let text = format!("{} {}", field(&message, "topic"), preview(&message, "payload"));
            TimelineEntry { text, ..self.entry("message", &message) }
        });
        let requests = self.mocks.requests().clone().into_iter().map(|request| {
            let (method, url) = (field(&request, "method"), field(&request, "url"));
            let text = format!("{method} {url} {}", preview(&request, "status"));
            TimelineEntry { text, ..self.entry("request", &request) }
        });
        let logs = self.all_logs().into_iter().map(|line| {
            let (level, text) = (field(&line, "level"), field(&line, "text"));
            let text = format!("{level} {}", text.lines().next().unwrap_or_default());
            TimelineEntry { script: field(&line, "script"), text, is_bad: level == "error", ..self.entry("log", &line) }
        });
        let mut all: Vec<_> = runs.chain(messages).chain(requests).chain(logs).collect();
        all.sort_by_key(|entry| entry.time.timestamp());
        all
    }

    fn run_entry(&self, run: RunRecord) -> TimelineEntry {
        let why = run.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
        let outcome = if run.outcome == "succeeded" { String::new() } else { format!(": {} {why}", run.outcome) };
        TimelineEntry {
            time: run.started.unwrap_or(run.ended).to_zoned(self.zone.clone()),
            what: "run",
            text: format!("{}{outcome}", run.event),
            is_bad: is_failure(&run),
            script: run.script,
        }
    }

    /// Returns an entry with the time of a record, without script and text.
    fn entry(&self, what: &'static str, record: &Map) -> TimelineEntry {
        let time = match record.get("time") {
            Some(Value::Time(time)) => time.clone(),
            _ => self.clock.now_zoned(),
        };
        TimelineEntry { time, what, script: String::new(), text: String::new(), is_bad: false }
    }
}

fn field(record: &Map, name: &str) -> String {
    record.get(name).and_then(Value::as_text).unwrap_or_default().to_owned()
}

fn preview(record: &Map, name: &str) -> String {
    record.get(name).map(|value| value.preview(120)).unwrap_or_default()
}

/// Returns whether a run failed with an error of this kind, or whose text contains it.
fn failed_with(row: &RunRecord, kind: &str) -> bool {
    row.why.as_deref().unwrap_or_default().contains(kind)
        || row.effects.iter().any(|effect| effect.fault.starts_with(kind))
        || (kind == "timeout" && row.outcome == "timed out")
}

fn is_failure(row: &RunRecord) -> bool {
    matches!(row.outcome.as_str(), "failed" | "timed out")
}
