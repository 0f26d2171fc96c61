//! Options of triggers and functions: read and checked by name. Unknown options are rejected with the most similar name.

use std::time::Duration;

use crate::units;
use crate::value::{Map, Value};

/// An invalid option, with the expected value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionFault {
    /// The name of the option, if a single option is invalid. It determines the location of the fault.
    pub option: Option<String>,
    /// The message.
    pub message: String,
}

impl OptionFault {
    /// Returns a fault that is not about a single option.
    pub fn new(message: impl Into<String>) -> Self {
        Self { option: None, message: message.into() }
    }
}

/// Named options that are taken one by one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    remaining: Map,
    /// Names that were read while there were options left.
    known: Vec<&'static str>,
}

impl Options {
    /// Wraps the options of a script or config file.
    pub fn new(written: Map) -> Self {
        Self { remaining: written, known: Vec::new() }
    }

    /// Returns the options that have not been taken.
    pub fn remaining(&self) -> Map {
        self.remaining.clone()
    }

    /// Takes an option without a check. `()` counts as not set.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        if self.remaining.is_empty() {
            return None;
        }
        self.known.push(name);
        self.remaining.remove(name).filter(|value| *value != Value::Null)
    }

    /// Takes an option with a custom reader. The error of the reader is prefixed with the name of the option.
    ///
    /// # Errors
    /// If the reader rejects the value.
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
    /// If the value has another type.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, OptionFault> {
        self.read(name, text)
    }

    /// Takes a bool.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>, OptionFault> {
        self.read(name, |value| match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(format!("write true or false, not {}", other.type_name())),
        })
    }

    /// Takes a whole number within an inclusive range.
    ///
    /// # Errors
    /// If the value has another type or is out of range.
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
    /// If the value has another type.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, OptionFault> {
        self.read(name, |value| duration(&value))
    }

    /// Takes a size: text with a unit, or a number of bytes.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn size(&mut self, name: &'static str) -> Result<Option<u64>, OptionFault> {
        self.read(name, |value| match value {
            Value::Int(bytes) => u64::try_from(bytes).map_err(|_| "write a size that is not negative".to_owned()),
            Value::Text(text) => units::parse_size(&text),
            other => Err(format!("write a size such as \"1MiB\", not {}", other.type_name())),
        })
    }

    /// Takes one of a fixed list of words.
    ///
    /// # Errors
    /// If the value is another one. The message lists the allowed words.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, OptionFault> {
        self.read(name, |value| {
            words.iter().find(|(word, _)| value.as_text() == Some(word)).map(|(_, meaning)| *meaning).ok_or_else(|| {
                let names: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("write one of {}", names.join(", "))
            })
        })
    }

    /// Checks that all options have been taken.
    ///
    /// # Errors
    /// If an option is unknown. The message has the most similar known name.
    pub fn finish(self) -> Result<(), OptionFault> {
        let Some(name) = self.remaining.into_keys().next() else { return Ok(()) };
        let hint = match nearest(&name, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.known.is_empty() => "no options are allowed here".to_owned(),
            None => format!("known are: {}", self.known.join(", ")),
        };
        Err(OptionFault { message: format!("unknown option `{name}`: {hint}"), option: Some(name) })
    }
}

/// Converts a value to text.
///
/// # Errors
/// If the value has another type.
pub fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("write text, not {}", other.type_name())),
    }
}

/// Converts a value to a duration: text with a unit, or a number of seconds.
///
/// # Errors
/// If the value has another type.
pub fn duration(value: &Value) -> Result<Duration, String> {
    let seconds = match value {
        Value::Text(text) => return units::parse_duration(text),
        Value::Int(seconds) => *seconds as f64,
        Value::Float(seconds) => *seconds,
        other => return Err(format!("write a duration such as \"30s\", not {}", other.type_name())),
    };
    units::from_seconds(seconds)
        .ok_or_else(|| format!("{seconds} is out of range: write a number of seconds from 0 to 100 years"))
}

/// Returns the known name that is most similar to a mistyped name.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (similarity(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Returns the similarity of two names from 0 to 1. It is 0 if more than a third of the letters differ and neither name is a
/// prefix of the other, with few typing errors.
fn similarity(name: &str, candidate: &str) -> f64 {
    let (short, long) = if name.len() < candidate.len() { (name, candidate) } else { (candidate, name) };
    let is_similar = strsim::osa_distance(short, long) <= long.len() / 3;
    let is_prefix = |begin: &str| short.len() > 2 && strsim::osa_distance(short, begin) <= short.len() / 5;
    if is_similar || long.get(..short.len()).is_some_and(is_prefix) {
        strsim::jaro_winkler(name, candidate)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn an_unknown_option_has_a_hint_with_the_most_similar_name() {
        let mut options = Options::new(map_of([("tiemout".into(), Value::from("5s"))]));
        assert_eq!(options.duration("timeout"), Ok(None));
        let fault = options.finish().unwrap_err();
        assert_eq!(fault.option.as_deref(), Some("tiemout"));
        assert_eq!(fault.message, "unknown option `tiemout`: did you mean `timeout`?");
    }

    #[test]
    fn only_similar_names_are_suggested() {
        for (name, known) in [("str", "start"), ("float", "format"), ("size", "since"), ("isinstance", "is_nan")] {
            assert_eq!(nearest(name, [known]), None, "{name}");
        }
        for (name, known) in [("qoz", "qos"), ("logs", "log"), ("sorted", "sort"), ("motion-lamp", "motion-light")] {
            assert_eq!(nearest(name, [known]), Some(known), "{name}");
        }
    }

    #[test]
    fn the_message_for_an_invalid_value_names_the_option() {
        let mut options = Options::new(map_of([("qos".into(), Value::Int(3))]));
        assert_eq!(options.int("qos", 0..=2).unwrap_err().message, "qos: write a whole number from 0 to 2");
    }
}
