//! A log entry, as a line of text or as JSON.

use std::fmt;

use jiff::Zoned;
use serde_json::{Map, Value as Json};
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::api::LogLine;
use crate::cli::log::timestamp::TimestampFormat;
use crate::cli::terminal::{Style, paint, sanitize};
use crate::config::Level;
use crate::runtime::LogStore;
use crate::secrets::Mask;

/// Length of a shortened run id: enough to distinguish the runs of a few days.
const SHORT_ID: usize = 4;

/// A log entry.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct LogEntry {
    /// The script that it is about.
    pub(in crate::cli) script: Option<String>,
    run: Option<String>,
    message: String,
    fields: Map<String, Json>,
}

impl LogEntry {
    /// Reads a `tracing` event. Its field `fields` contains the fields of a script as JSON.
    pub(in crate::cli) fn read(event: &Event<'_>) -> Self {
        let mut line = Self::default();
        event.record(&mut line);
        line
    }

    /// Converts a line from the log store of the running rhaid.
    pub(in crate::cli) fn from_stored(stored: LogLine) -> Self {
        let if_any = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { script: if_any(stored.script), run: if_any(stored.run), message: stored.text, fields: stored.fields }
    }

    /// Adds the entry to the log store.
    pub(in crate::cli) fn store(&self, level: Level, log_store: &LogStore) {
        let (script, run) = (self.script.as_deref().unwrap_or_default(), self.run.as_deref().unwrap_or_default());
        log_store.record(level, script, run, self.message.clone(), self.fields.clone());
    }

    /// Masks secrets.
    pub(in crate::cli) fn mask(&mut self, mask: &Mask) {
        self.message = mask.apply(&self.message).into_owned();
        for value in self.fields.values_mut() {
            if let Json::String(text) = value {
                *text = mask.apply(text).into_owned();
            }
        }
    }

    /// Returns the entry as a JSON object and a line feed.
    pub(in crate::cli) fn json(mut self, level: Level, now: &Zoned) -> String {
        let mut object = Map::new();
        object.insert("time".into(), now.timestamp().display_with_offset(now.offset()).to_string().into());
        object.insert("level".into(), level.word().into());
        if let Some(script) = self.script {
            object.insert("script".into(), script.into());
        }
        if let Some(run) = self.run {
            object.insert("run".into(), run.into());
        }
        object.insert("message".into(), self.message.into());
        self.fields.retain(|name, _| !object.contains_key(name));
        object.append(&mut self.fields);
        format!("{}\n", Json::Object(object))
    }

    /// Returns the entry as text and a line feed; further lines of the message are indented.
    pub(in crate::cli) fn text(&self, level: Level, now: &Zoned, stamp: TimestampFormat) -> String {
        let stamp = match stamp {
            TimestampFormat::TimeOfDay => now.strftime("%H:%M:%S ").to_string(),
            TimestampFormat::Full => now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z ").to_string(),
            TimestampFormat::None => String::new(),
        };
        let indent = format!("\n{}", " ".repeat(stamp.len().max(2)));
        let mut text = paint(Style::Dim, &stamp);
        if let Some(tone) = tone(level) {
            text.push_str(&paint(tone, level.word()));
            text.push(' ');
        }
        if let Some(script) = &self.script {
            text.push_str(&paint(Style::Name, &sanitize(script)));
            if let Some(run) = &self.run {
                text.push_str(&paint(Style::Dim, &format!("[{}]", short_run_id(run))));
            }
            text.push_str(": ");
        }
        text.push_str(&sanitize(self.message.trim_end()).replace('\n', &indent));
        for (name, value) in &self.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), quoted_if_needed);
            text.push_str(&paint(Style::Dim, &format!(" {name}=")));
            text.push_str(&sanitize(&value).replace('\n', &indent));
        }
        text.push('\n');
        text
    }

    fn put(&mut self, field: &Field, value: Json) {
        let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match field.name() {
            "message" => self.message = text(),
            "script" => self.script = Some(text()).filter(|script| !script.is_empty()),
            "run" => self.run = Some(text()).filter(|run| !run.is_empty()),
            "fields" => match serde_json::from_str(&text()) {
                Ok(Json::Object(mut fields)) => self.fields.append(&mut fields),
                _ => drop(self.fields.insert("fields".into(), value)),
            },
            name => drop(self.fields.insert(name.into(), value)),
        }
    }
}

impl Visit for LogEntry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Returns the last characters of a run id.
pub(in crate::cli) fn short_run_id(id: &str) -> &str {
    let start = id.char_indices().rev().nth(SHORT_ID - 1).map_or(0, |(start, _)| start);
    &id[start..]
}

fn tone(level: Level) -> Option<Style> {
    match level {
        Level::Error => Some(Style::Error),
        Level::Warn => Some(Style::Warning),
        Level::Debug | Level::Trace => Some(Style::Dim),
        Level::Info | Level::Off => None,
    }
}

fn quoted_if_needed(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if is_plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-03-01T07:08:09.5+01:00[Europe/Oslo]".parse().unwrap()
    }

    fn line() -> LogEntry {
        LogEntry {
            script: Some("door".into()),
            run: Some("0123456789abcde".into()),
            message: "door.rhai:1:2: no\n  |\n1 | x".into(),
            fields: Map::from_iter([("n".to_owned(), 1.into()), ("who".to_owned(), "a b".into())]),
        }
    }

    #[test]
    fn further_lines_of_a_message_are_indented() {
        let text =
            anstream::adapter::strip_str(&line().text(Level::Error, &now(), TimestampFormat::TimeOfDay)).to_string();
        let expected = "07:08:09 error door[bcde]: door.rhai:1:2: no\n           |\n         1 | x n=1 who=\"a b\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_json_entry_is_one_object() {
        let json: Json = serde_json::from_str(&line().json(Level::Warn, &now())).unwrap();
        assert_eq!(json["time"], "2026-03-01T07:08:09.5+01:00");
        assert_eq!((&json["level"], &json["script"], &json["n"]), (&"warn".into(), &"door".into(), &1.into()));
    }

    #[test]
    fn a_field_cannot_replace_a_part_of_the_entry() {
        let mut line = line();
        line.fields.insert("level".into(), "none".into());
        let json: Json = serde_json::from_str(&line.json(Level::Warn, &now())).unwrap();
        assert_eq!(json["level"], "warn");
    }
}
