//! One line of the log, for people or for programs.

use std::fmt;

use jiff::Zoned;
use serde_json::{Map, Value as Json};
use tracing::Event;
use tracing::field::{Field, Visit};

use super::TimestampFormat;
use crate::api::LogLine;
use crate::cli::terminal::{Style, paint, sanitize};
use crate::config::Level;
use crate::runtime::LogStore;
use crate::secrets::Mask;

/// How much of a run's id is shown to people: enough to tell the runs of some days apart.
const SHORT_ID: usize = 4;

/// What a line says.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct LogEntry {
    /// The script it is about, if it is about one.
    pub(in crate::cli) script: Option<String>,
    run: Option<String>,
    message: String,
    fields: Map<String, Json>,
}

impl LogEntry {
    /// Reads what was said. The field `fields` holds what a script added, as JSON.
    pub(in crate::cli) fn read(event: &Event<'_>) -> Self {
        let mut line = Self::default();
        event.record(&mut line);
        line
    }

    /// Takes a line that the running rhaid has kept.
    pub(in crate::cli) fn of(kept: LogLine) -> Self {
        let if_any = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { script: if_any(kept.script), run: if_any(kept.run), message: kept.text, fields: kept.fields }
    }

    /// Keeps the line for those who ask what was.
    pub(in crate::cli) fn keep(&self, level: Level, log_store: &LogStore) {
        let (script, run) = (self.script.as_deref().unwrap_or_default(), self.run.as_deref().unwrap_or_default());
        log_store.record(level, script, run, self.message.clone(), self.fields.clone());
    }

    /// Hides secrets.
    pub(in crate::cli) fn mask(&mut self, mask: &Mask) {
        self.message = mask.apply(&self.message).into_owned();
        for value in self.fields.values_mut() {
            if let Json::String(text) = value {
                *text = mask.apply(text).into_owned();
            }
        }
    }

    /// Returns the line as a JSON object, with its end.
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

    /// Returns the line for people, with its end; further lines of the message are indented.
    pub(in crate::cli) fn text(&self, level: Level, now: &Zoned, stamp: TimestampFormat) -> String {
        let stamp = match stamp {
            TimestampFormat::Clock => now.strftime("%H:%M:%S ").to_string(),
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
                text.push_str(&paint(Style::Dim, &format!("[{}]", short(run))));
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

/// Returns the end of a run's id, by which people tell it from its neighbours.
pub(in crate::cli) fn short(id: &str) -> &str {
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
    fn a_fault_is_readable_over_several_lines() {
        let text = anstream::adapter::strip_str(&line().text(Level::Error, &now(), TimestampFormat::Clock)).to_string();
        let expected = "07:08:09 error door[bcde]: door.rhai:1:2: no\n           |\n         1 | x n=1 who=\"a b\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_line_for_programs_is_one_object() {
        let json: Json = serde_json::from_str(&line().json(Level::Warn, &now())).unwrap();
        assert_eq!(json["time"], "2026-03-01T07:08:09.5+01:00");
        assert_eq!((&json["level"], &json["script"], &json["n"]), (&"warn".into(), &"door".into(), &1.into()));
    }

    #[test]
    fn a_field_can_not_pass_for_a_part_of_the_line() {
        let mut line = line();
        line.fields.insert("level".into(), "none".into());
        let json: Json = serde_json::from_str(&line.json(Level::Warn, &now())).unwrap();
        assert_eq!(json["level"], "warn");
    }
}
