//! The nodes of a configuration file, each with its location.

use crate::fault::SourceLocation;
use crate::value::{Value, map_of};

/// A node of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Its start.
    pub(super) location: SourceLocation,
    /// Its content.
    pub(super) content: Content,
}

/// The content of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// Named values in the order of the file, without duplicates.
    Map(Vec<Entry>),
    /// A value whose fault is already reported.
    Invalid,
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The name.
    pub(super) key: String,
    /// The location of the name.
    pub(super) location: SourceLocation,
    /// The value.
    pub(super) node: Node,
}

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    /// The text, without quotes.
    pub(super) text: String,
    /// The notation.
    pub(super) style: Style,
}

/// The notation of a value, which determines its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Quoted or a block: text.
    Quoted,
    /// Unquoted: a number, a boolean, null, or text.
    Plain,
    /// Unquoted, from a variable, a file or a flag: as `Plain`, but always valid as text.
    Interpolated,
}

impl Node {
    /// Returns a map without entries.
    pub(super) fn empty_map(location: SourceLocation) -> Self {
        Self { location, content: Content::Map(Vec::new()) }
    }

    /// Returns whether the value is null; `key:` without a value counts as absent.
    pub(super) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.value() == Value::Null,
            Content::Invalid => true,
            Content::List(_) | Content::Map(_) => false,
        }
    }

    /// Returns the entries of a map; empty for other nodes.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns an entry by its name.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the node as plain data.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.value(),
            Content::List(items) => Value::List(items.iter().map(Self::value).collect()),
            Content::Map(entries) => {
                Value::Map(map_of(entries.iter().map(|entry| (entry.key.clone(), entry.node.value()))))
            }
            Content::Invalid => Value::Null,
        }
    }

    /// Returns the number of nodes, including this one.
    pub(super) fn size(&self) -> usize {
        1 + match &self.content {
            Content::List(items) => items.iter().map(Self::size).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum::<usize>(),
            Content::Scalar(_) | Content::Invalid => 0,
        }
    }
}

impl Scalar {
    /// Returns its value: text if it is quoted, else the same value as `parse_yaml` in a script.
    pub(super) fn value(&self) -> Value {
        if self.style == Style::Quoted { Value::Text(self.text.clone()) } else { plain(&self.text) }
    }

    /// Returns it as text, unless it is a boolean or null; a number keeps its notation.
    pub(super) fn as_text(&self) -> Option<&str> {
        let is_text = self.style != Style::Plain || !matches!(self.value(), Value::Bool(_) | Value::Null);
        is_text.then_some(&self.text)
    }
}

/// Returns the value of an unquoted scalar, as parsed by the library that parses YAML for scripts.
fn plain(text: &str) -> Value {
    const LONGEST_NUMBER: usize = 64;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | '~');
    if text.is_empty() {
        return Value::Null;
    }
    let is_marker = text.starts_with("---") || text == "...";
    if text.len() <= LONGEST_NUMBER && text.chars().all(is_word) && !is_marker {
        match serde_yaml::from_str(text) {
            Ok(serde_yaml::Value::Null) => return Value::Null,
            Ok(serde_yaml::Value::Bool(flag)) => return Value::Bool(flag),
            Ok(serde_yaml::Value::Number(number)) => {
                return number
                    .as_i64()
                    .map(Value::Int)
                    .or_else(|| number.as_f64().map(Value::Float))
                    .unwrap_or(Value::Null);
            }
            _ => {}
        }
    }
    Value::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_quotes_means_what_scripts_read() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("yes", Value::from("yes")),
            ("-12", Value::Int(-12)),
            ("0x10", Value::Int(16)),
            ("007", Value::from("007")),
            ("1.5", Value::Float(1.5)),
            ("-", Value::from("-")),
            ("---", Value::from("---")),
            ("...", Value::from("...")),
            ("0 7 * * *", Value::from("0 7 * * *")),
            ("30s", Value::from("30s")),
        ] {
            assert_eq!(plain(text), value, "{text:?}");
        }
    }
}
