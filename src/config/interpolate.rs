//! Placeholders: `${NAME}`, `${NAME:-default}` and `${file:PATH}` inside values, `$${` for a literal `${`.

use std::collections::BTreeMap;
use std::path::Path;

use super::node::{Content, Node, Style};
use super::report::Report;
use crate::fault::SourceLocation;
use crate::secrets::Secret;

const MAX_DEPTH: usize = 8;

/// Where placeholders take their values from.
pub(super) struct Interpolator<'a> {
    /// Variables.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Where relative paths start.
    pub(super) folder: &'a Path,
    /// Reads a file whole; the error is a sentence.
    pub(super) read_file: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl Interpolator<'_> {
    /// Replaces the placeholders of all values below a node; names are left alone.
    pub(super) fn fill(&self, node: &mut Node, report: &mut Report) {
        match &mut node.content {
            Content::List(items) => items.iter_mut().for_each(|item| self.fill(item, report)),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| self.fill(&mut entry.node, report)),
            Content::Scalar(scalar) if scalar.text.contains("${") => match self.expand(&scalar.text, report, 0) {
                Ok(text) => {
                    scalar.text = text;
                    if scalar.style == Style::Plain {
                        scalar.style = Style::Filled;
                    }
                }
                Err((placeholder, why)) => {
                    let place = locate(&node.place, &placeholder, report);
                    report.fault(&place, why);
                    node.content = Content::Refused;
                }
            },
            Content::Scalar(_) | Content::Refused => {}
        }
    }

    /// Returns the text with its placeholders replaced; the error names the placeholder and says what is wrong with it.
    fn expand(&self, text: &str, report: &mut Report, depth: usize) -> Result<String, (String, String)> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find("${") {
            if rest[..dollar].ends_with('$') {
                filled.push_str(&rest[..dollar]);
                filled.push('{');
                rest = &rest[dollar + 2..];
                continue;
            }
            filled.push_str(&rest[..dollar]);
            let inner = &rest[dollar + 2..];
            let Some(end) = closing_brace(inner) else {
                let why = "`${` has no `}`: close it, or write `$${` for the characters themselves";
                return Err((rest[dollar..].to_owned(), why.to_owned()));
            };
            let placeholder = &rest[dollar..dollar + end + 3];
            let value = if depth < MAX_DEPTH {
                self.value(&inner[..end], report, depth)
            } else {
                Err(Failure::Here("placeholders nest too deeply".to_owned()))
            };
            filled.push_str(&value.map_err(|failure| failure.at(placeholder))?);
            rest = &inner[end + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&self, inner: &str, report: &mut Report, depth: usize) -> Result<String, Failure> {
        if let Some(path) = inner.strip_prefix("file:") {
            let path = self.expand(path, report, depth + 1).map_err(Failure::Inside)?;
            return self.content(path.trim(), report).map_err(Failure::Here);
        }
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(Failure::Here(format!(
                "`${{{inner}}}` is no placeholder: write `${{NAME}}`, `${{NAME:-default}}` or `${{file:PATH}}`; `$${{` stands for the characters themselves"
            )));
        }
        match (self.environment.get(name), default) {
            (Some(value), _) if !value.is_empty() => Ok(value.clone()),
            (_, Some(default)) => self.expand(default, report, depth + 1).map_err(Failure::Inside),
            (Some(_), None) => Ok(String::new()),
            (None, None) => Err(Failure::Here(format!(
                "the variable `{name}` is not set: set it, or write a default as `${{{name}:-…}}`"
            ))),
        }
    }

    fn content(&self, path: &str, report: &mut Report) -> Result<String, String> {
        if path.is_empty() {
            return Err("`${file:}` names no file: write `${file:PATH}`".to_owned());
        }
        let file = self.folder.join(path);
        let text = (self.read_file)(&file).map_err(|why| format!("`{}` cannot be read: {why}", file.display()))?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        report.hide(Secret::new(text));
        Ok(text.to_owned())
    }
}

/// What is wrong with a placeholder: itself, or one inside it.
enum Failure {
    Here(String),
    Inside((String, String)),
}

impl Failure {
    fn at(self, placeholder: &str) -> (String, String) {
        match self {
            Self::Here(why) => (placeholder.to_owned(), why),
            Self::Inside(inside) => inside,
        }
    }
}

/// Returns where the brace closes that is open at the start of the text.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Returns the placeholder's own place if it stands on the value's first line, else the value's.
fn locate(value: &SourceLocation, placeholder: &str, report: &Report) -> SourceLocation {
    let mut place = value.clone();
    if let Some(line) = report.line(value) {
        let start = line.char_indices().nth(value.column.saturating_sub(1)).map_or(0, |(index, _)| index);
        if let Some(offset) = line[start..].find(placeholder) {
            place.column += line[start..start + offset].chars().count();
        }
    }
    place
}
