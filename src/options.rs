//! The options of triggers and functions: read by name, each checked, what is left over refused with the nearest known name.

use std::time::Duration;

use crate::units;
use crate::value::{Map, Value};

/// What is wrong with an option, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionFault {
    /// The option's name, if one option is to blame: it tells where to point.
    pub option: Option<String>,
    /// The whole sentence.
    pub message: String,
}

impl OptionFault {
    /// Returns a fault that no single option is to blame for.
    pub fn new(message: impl Into<String>) -> Self {
        Self { option: None, message: message.into() }
    }
}

/// Named options, taken out one by one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    remaining: Map,
    known: Vec<&'static str>,
}

impl Options {
    /// Wraps the options that a script or a config wrote.
    pub fn new(written: Map) -> Self {
        Self { remaining: written, known: Vec::new() }
    }

    /// Returns the options that nobody has taken yet.
    pub fn remaining(&self) -> Map {
        self.remaining.clone()
    }

    /// Takes an option as it stands; `()` counts as not written.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.remaining.remove(name).filter(|value| *value != Value::Null)
    }

    /// Takes an option through a reader of its own, whose error is put behind the option's name.
    ///
    /// # Errors
    /// If the reader refuses the value.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        reader: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<Option<T>, OptionFault> {
        self.take(name)
            .map(|value| {
                reader(value)
                    .map_err(|why| OptionFault { option: Some(name.into()), message: format!("{name}: {why}") })
            })
            .transpose()
    }

    /// Takes text.
    ///
    /// # Errors
    /// If it is something else.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, OptionFault> {
        self.read(name, text)
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// If it is something else.
    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>, OptionFault> {
        self.read(name, |value| match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(format!("write true or false, not {}", other.type_name())),
        })
    }

    /// Takes a whole number within a range, ends included.
    ///
    /// # Errors
    /// If it is something else or out of range.
    pub fn int(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, OptionFault> {
        self.read(name, |value| match value {
            Value::Int(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("write a whole number from {} to {}", range.start(), range.end())),
        })
    }

    /// Takes a duration: text with a unit, or a number of seconds.
    ///
    /// # Errors
    /// If it is something else.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, OptionFault> {
        self.read(name, |value| duration(&value))
    }

    /// Takes a size: text with a unit, or a number of bytes.
    ///
    /// # Errors
    /// If it is something else.
    pub fn size(&mut self, name: &'static str) -> Result<Option<u64>, OptionFault> {
        self.read(name, |value| match value {
            Value::Int(bytes) => u64::try_from(bytes).map_err(|_| "a size is not negative".to_owned()),
            Value::Text(text) => units::parse_size(&text),
            other => Err(format!("write a size such as \"1MiB\", not {}", other.type_name())),
        })
    }

    /// Takes a word out of a fixed list.
    ///
    /// # Errors
    /// If it is none of them; the message names them all.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, OptionFault> {
        self.read(name, |value| {
            words.iter().find(|(word, _)| value.as_text() == Some(word)).map(|(_, meaning)| *meaning).ok_or_else(|| {
                let names: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("write one of {}", names.join(", "))
            })
        })
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// If an option is left, with the nearest of the names that were asked for.
    pub fn finish(self) -> Result<(), OptionFault> {
        let Some(name) = self.remaining.into_keys().next() else { return Ok(()) };
        let hint = match nearest(&name, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.known.is_empty() => "there are none here".to_owned(),
            None => format!("known are: {}", self.known.join(", ")),
        };
        Err(OptionFault { message: format!("unknown option `{name}`: {hint}"), option: Some(name) })
    }
}

/// Reads text.
///
/// # Errors
/// If it is something else.
pub fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("write text, not {}", other.type_name())),
    }
}

/// Reads a duration: text with a unit, or a number of seconds.
///
/// # Errors
/// If it is something else.
pub fn duration(value: &Value) -> Result<Duration, String> {
    let seconds = match value {
        Value::Text(text) => return units::parse_duration(text),
        Value::Int(seconds) => *seconds as f64,
        Value::Float(seconds) => *seconds,
        other => return Err(format!("write a duration such as \"30s\", not {}", other.type_name())),
    };
    units::from_seconds(seconds).ok_or_else(|| format!("{seconds} is no number of seconds from 0 to 100 years"))
}

/// Returns the known name that a mistyped one most likely meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Returns how alike two names are, from 0 to 1; 0 if more than a third of the letters would have to change, and neither is the
/// beginning of the other, maybe mistyped.
fn likeness(name: &str, candidate: &str) -> f64 {
    let (short, long) = if name.len() < candidate.len() { (name, candidate) } else { (candidate, name) };
    let is_near = strsim::osa_distance(short, long) <= long.len() / 3;
    let begins = |begin: &str| short.len() > 2 && strsim::osa_distance(short, begin) <= short.len() / 5;
    if is_near || long.get(..short.len()).is_some_and(begins) { strsim::jaro_winkler(name, candidate) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn an_unknown_option_names_the_nearest_known_one() {
        let mut options = Options::new(map_of([("tiemout".into(), Value::from("5s"))]));
        assert_eq!(options.duration("timeout"), Ok(None));
        let fault = options.finish().unwrap_err();
        assert_eq!(fault.option.as_deref(), Some("tiemout"));
        assert_eq!(fault.message, "unknown option `tiemout`: did you mean `timeout`?");
    }

    #[test]
    fn a_far_name_is_no_guess() {
        for (name, known) in [("str", "start"), ("float", "format"), ("size", "since"), ("isinstance", "is_nan")] {
            assert_eq!(nearest(name, [known]), None, "{name}");
        }
        for (name, known) in [("qoz", "qos"), ("logs", "log"), ("sorted", "sort"), ("motion-lamp", "motion-light")] {
            assert_eq!(nearest(name, [known]), Some(known), "{name}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_option() {
        let mut options = Options::new(map_of([("qos".into(), Value::Int(3))]));
        assert_eq!(options.int("qos", 0..=2).unwrap_err().message, "qos: write a whole number from 0 to 2");
    }
}
