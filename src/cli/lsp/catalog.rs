//! The functions, triggers and options that a file can use, from the reference.

use std::collections::BTreeSet;

use super::file_location::is_test;
use crate::cli::reference::{call, entry_docs, kind_docs};
use crate::functions::reference::{ReferenceEntry, in_tests, reference};
use crate::run::Policy;
use crate::script::outline::{Function, Outline};
use crate::triggers::{KINDS, Kind};

/// Functions and triggers that a file can use.
#[derive(Clone, Copy)]
pub(super) struct Catalog {
    pub(super) entries: &'static [ReferenceEntry],
    pub(super) kinds: &'static [&'static Kind],
}

impl Catalog {
    /// Returns the catalog for a file; a test file has additional functions and no triggers.
    pub(super) fn of(file: &str) -> Self {
        match is_test(file) {
            true => Self { entries: in_tests(), kinds: &[] },
            false => Self { entries: reference(), kinds: KINDS },
        }
    }

    /// Returns the kind of trigger of that name.
    pub(super) fn kind(self, name: &str) -> Option<&'static Kind> {
        self.kinds.iter().copied().find(|kind| kind.name == name)
    }

    /// Returns the functions of that name, or with `is_member` the methods and properties.
    pub(super) fn entries(self, name: &str, is_member: bool) -> Vec<&'static ReferenceEntry> {
        self.entries.iter().filter(|entry| entry.function == name && entry.is_function() != is_member).collect()
    }

    /// Returns the methods and properties of a type.
    pub(super) fn members(self, receiver: &str) -> Vec<&'static ReferenceEntry> {
        let is_of = |entry: &&ReferenceEntry| {
            entry.signatures.iter().any(|signature| signature.receiver.as_deref() == Some(receiver))
        };
        self.entries.iter().filter(|entry| is_name(&entry.function) && !entry.is_function()).filter(is_of).collect()
    }

    /// Returns the type of a variable, if it is assigned from a function that always returns this type.
    pub(super) fn type_of(self, outline: &Outline, name: &str, offset: usize) -> Option<&'static str> {
        if name == "state" {
            return Some("state");
        }
        let from = outline.name_at(name, offset)?.from.as_deref()?;
        let types: BTreeSet<_> = self
            .entries(from, false)
            .into_iter()
            .flat_map(|entry| &entry.signatures)
            .map(|signature| signature.returns.as_str())
            .collect();
        (types.len() == 1).then(|| types.into_iter().next()).flatten()
    }

    /// Returns the options of a trigger or function, with their documentation.
    pub(super) fn options(self, name: &str) -> Vec<(String, String)> {
        if let Some(kind) = self.kind(name) {
            let own = listed(kind.docs).into_iter();
            let every = Policy::OPTIONS.iter().map(|(name, docs)| ((*name).to_owned(), (*docs).to_owned()));
            return own.chain(every).collect();
        }
        let Some(entry) = self.entries(name, false).into_iter().chain(self.entries(name, true)).next() else {
            return Vec::new();
        };
        let own = listed(&entry.docs);
        let takes_options =
            entry.signatures.iter().any(|signature| signature.parameters.iter().any(|(name, _)| name == "options"));
        if !own.is_empty() || !takes_options {
            return own;
        }
        // The documentation of some functions refers to the options of another function.
        let other = quoted(&entry.docs)
            .map(|word| word.trim_end_matches("()"))
            .find(|word| *word != name && !self.entries(word, false).is_empty());
        other.map_or_else(Vec::new, |other| {
            self.entries(other, false).iter().flat_map(|entry| listed(&entry.docs)).collect()
        })
    }
}

pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Returns the reference page of a trigger, in Markdown.
pub(super) fn kind_page(kind: &Kind) -> String {
    format!("```rhai\n{}\n```\n\n{}", call(kind), kind_docs(kind))
}

/// Returns the reference page of a function, in Markdown.
pub(super) fn entry_page(entry: &ReferenceEntry) -> String {
    entry_docs(entry, "rhai")
}

/// Returns the page of a function that the script defines, in Markdown.
pub(super) fn own_page(function: &Function) -> String {
    format!("```rhai\n{}\n```\n\n{}", own_signature(function), function.docs)
}

pub(super) fn own_signature(function: &Function) -> String {
    let private = if function.is_private { "private " } else { "" };
    format!("{private}fn {}({})", function.name, function.parameters.join(", "))
}

/// Returns the fields and methods of the handler's argument, such as `topic` and `json()`.
pub(super) fn event_fields(kind: &Kind) -> Vec<&'static str> {
    quoted(kind.event).skip(1).collect()
}

/// Returns the name of the handler's argument in the reference.
pub(super) fn event_name(kind: &Kind) -> &'static str {
    quoted(kind.event).next().unwrap_or("event")
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Parses the options from a documentation: list items, table rows, or a paragraph that begins with `Options:`.
fn listed(docs: &str) -> Vec<(String, String)> {
    let mut options = Vec::new();
    let mut is_paragraph = false;
    for line in docs.lines() {
        is_paragraph = line.starts_with("Option") || (is_paragraph && !line.is_empty());
        let item = line
            .strip_prefix("- `")
            .and_then(|rest| rest.split_once('`'))
            .map(|(name, docs)| (name, docs.trim_start_matches(':')));
        let row = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("` |"))
            .map(|(name, docs)| (name, docs.trim_end_matches('|')));
        if let Some((name, docs)) = item.or(row) {
            let name = name.split(':').next().unwrap_or(name);
            options.push((name.to_owned(), docs.trim().to_owned()));
        } else if is_paragraph {
            let mut parts = line.split('`').skip(1);
            while let (Some(word), Some(behind)) = (parts.next(), parts.next()) {
                if behind.starts_with(" (") {
                    let docs = behind.trim_start_matches(" (").split(')').next().unwrap_or_default();
                    options.push((word.to_owned(), docs.to_owned()));
                }
            }
        }
    }
    options.retain(|(name, _)| is_name(name));
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_the_reference() {
        let names =
            |name: &str| Catalog::of("a.rhai").options(name).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("cron")[..4], ["timezone", "missed", "window", "jitter"]);
        assert!(names("webhook").contains(&"public".to_owned()) && names("webhook").contains(&"timeout".to_owned()));
        assert!(names("http_post").contains(&"json".to_owned()), "{:?}", names("http_post"));
        assert_eq!(names("mqtt_publish")[..3], ["qos", "retain", "broker"]);
        assert_eq!(names("print"), [""; 0]);
        let in_test = Catalog::of("a_test.rhai").options("publish");
        assert_eq!(in_test.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["qos", "retain", "broker"]);
    }
}
