//! What stands in a config file, each piece with its place.

use crate::fault::SourceLocation;
use crate::value::{Value, map_of};

/// A piece of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where it starts.
    pub(super) place: SourceLocation,
    /// What it is.
    pub(super) content: Content,
}

/// What a piece of a document is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// One value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// Named values, in the order of the file; no name twice.
    Map(Vec<Entry>),
    /// Something that was refused already.
    Refused,
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The name.
    pub(super) key: String,
    /// Where the name stands.
    pub(super) place: SourceLocation,
    /// The value.
    pub(super) node: Node,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    /// The text, without quotes.
    pub(super) text: String,
    /// How it was written.
    pub(super) style: Style,
}

/// How a value was written; what it means hangs on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// With quotes or as a block: it is text.
    Quoted,
    /// Without quotes: a number, a truth value, nothing, or text.
    Plain,
    /// Without quotes, from a variable, a file or a flag: as plain, and text where text is wanted.
    Filled,
}

impl Node {
    /// Returns whether nothing stands here: `key:` with no value counts as not written.
    pub(super) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.value() == Value::Null,
            Content::Refused => true,
            Content::List(_) | Content::Map(_) => false,
        }
    }

    /// Returns the named values, if these are some.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the value under a name, with its name's place.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns this as plain data.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.value(),
            Content::List(items) => Value::List(items.iter().map(Self::value).collect()),
            Content::Map(entries) => {
                Value::Map(map_of(entries.iter().map(|entry| (entry.key.clone(), entry.node.value()))))
            }
            Content::Refused => Value::Null,
        }
    }

    /// Returns the number of pieces this is made of.
    pub(super) fn size(&self) -> usize {
        1 + match &self.content {
            Content::List(items) => items.iter().map(Self::size).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum::<usize>(),
            Content::Scalar(_) | Content::Refused => 0,
        }
    }
}

impl Scalar {
    /// Returns what it means: text if it has quotes, else what `parse_yaml` in a script makes of it.
    pub(super) fn value(&self) -> Value {
        if self.style == Style::Quoted { Value::Text(self.text.clone()) } else { plain(&self.text) }
    }

    /// Returns it as text, unless it is a truth value or nothing; a number stays as it was written.
    pub(super) fn as_text(&self) -> Option<&str> {
        let is_text = self.style != Style::Plain || !matches!(self.value(), Value::Bool(_) | Value::Null);
        is_text.then_some(&self.text)
    }
}

/// Says what a value without quotes means, in the words of the library that reads YAML for scripts.
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
