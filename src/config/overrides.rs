//! Values from environment variables and flags, which take precedence over the file.

use super::node::{Content, Entry, Node, Scalar, Style};
use super::report::{Report, fault};
use super::schema::variables;
use super::source::{Override, Source};
use crate::fault::{Fault, SourceLocation};
use crate::options::nearest;

/// Applies variables and then flags; returns warnings about unknown variables.
pub(super) fn apply(root: &mut Node, source: &Source<'_>, report: &mut Report) -> Vec<Fault> {
    let known = variables();
    let mut warnings = Vec::new();
    for (variable, value) in
        source.environment.iter().filter(|(name, value)| name.starts_with("RHAID_") && !value.is_empty())
    {
        let location = SourceLocation { file: variable.clone(), ..SourceLocation::default() };
        if let Some((key, _)) = known.iter().find(|(_, name)| name == variable) {
            put(root, key, value, &location);
        } else if !source.reserved.contains(&variable.as_str()) && !source.text.contains(&format!("${{{variable}")) {
            let variable = variable.replacen("RHAID_LEDGER_", "RHAID_HISTORY_", 1);
            let names = known.iter().map(|(_, name)| name.as_str()).chain(source.reserved.iter().copied());
            let hint = nearest(&variable, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            warnings.push(fault(&location, format!("unknown variable{hint}")));
        }
    }
    for Override { key, value, origin } in source.overrides {
        let location = SourceLocation { file: origin.clone(), ..SourceLocation::default() };
        if known.iter().any(|(known, _)| known == key) {
            put(root, key, value, &location);
        } else {
            report.fault(&location, format!("`{key}` is not a key with a single value"));
        }
    }
    warnings
}

fn put(root: &mut Node, key: &str, value: &str, location: &SourceLocation) {
    let mut node = root;
    for name in key.split('.') {
        if node.is_null() {
            *node = Node::empty_map(location.clone());
        }
        // Anything but a map is reported when the section is read.
        let Content::Map(entries) = &mut node.content else { return };
        let index = entries.iter().position(|entry| entry.key == name).unwrap_or_else(|| {
            entries.push(Entry {
                key: name.to_owned(),
                location: location.clone(),
                node: Node::empty_map(location.clone()),
            });
            entries.len() - 1
        });
        node = &mut entries[index].node;
    }
    *node = Node {
        location: location.clone(),
        content: Content::Scalar(Scalar { text: value.to_owned(), style: Style::Interpolated }),
    };
}
