//! Placeholders: `${NAME}`, `${NAME:-default}` and `${file:PATH}` inside values, `$${` for a literal `${`.

use std::collections::BTreeMap;
use std::path::Path;

use super::node::{Content, Node, Style};
use super::report::Report;
use crate::fault::SourceLocation;
use crate::secrets::Secret;

const MAX_DEPTH: usize = 8;

/// The sources of placeholder values.
pub(super) struct Interpolator<'a> {
    /// Environment variables.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// The base of relative paths.
    pub(super) folder: &'a Path,
    /// Reads a complete file; the error is a sentence.
    pub(super) read_file: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl Interpolator<'_> {
    /// Replaces the placeholders in all values below a node; keys are left unchanged.
    pub(super) fn interpolate(&self, node: &mut Node, report: &mut Report) {
        match &mut node.content {
            Content::List(items) => items.iter_mut().for_each(|item| self.interpolate(item, report)),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| self.interpolate(&mut entry.node, report)),
            Content::Scalar(scalar) if scalar.text.contains("${") => match self.expand(&scalar.text, report, 0) {
                Ok(text) => {
                    scalar.text = text;
                    if scalar.style == Style::Plain {
                        scalar.style = Style::Interpolated;
                    }
                }
                Err((placeholder, why)) => {
                    let location = locate(&node.location, &placeholder, report);
                    report.fault(&location, why);
                    node.content = Content::Invalid;
                }
            },
            Content::Scalar(_) | Content::Invalid => {}
        }
    }

    /// Returns the text with its placeholders replaced; the error has the placeholder and the reason.
    fn expand(&self, text: &str, report: &mut Report, depth: usize) -> Result<String, (String, String)> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find("${") {
            if rest[..dollar].ends_with('$') {
                expanded.push_str(&rest[..dollar]);
                expanded.push('{');
                rest = &rest[dollar + 2..];
                continue;
            }
            expanded.push_str(&rest[..dollar]);
            let inner = &rest[dollar + 2..];
            let Some(end) = closing_brace(inner) else {
                let why = "`${` has no `}`: close it, or write `$${` for a literal `${`";
                return Err((rest[dollar..].to_owned(), why.to_owned()));
            };
            let placeholder = &rest[dollar..dollar + end + 3];
            let value = if depth < MAX_DEPTH {
                self.value(&inner[..end], report, depth)
            } else {
                Err(PlaceholderError::Own("placeholders are nested too deeply".to_owned()))
            };
            expanded.push_str(&value.map_err(|failure| failure.at(placeholder))?);
            rest = &inner[end + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, inner: &str, report: &mut Report, depth: usize) -> Result<String, PlaceholderError> {
        if let Some(path) = inner.strip_prefix("file:") {
            let path = self.expand(path, report, depth + 1).map_err(PlaceholderError::Nested)?;
            return self.content(path.trim(), report).map_err(PlaceholderError::Own);
        }
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(PlaceholderError::Own(format!(
                "`${{{inner}}}` is not a placeholder: write `${{NAME}}`, `${{NAME:-default}}` or `${{file:PATH}}`; `$${{` is a literal `${{`"
            )));
        }
        match (self.environment.get(name), default) {
            (Some(value), _) if !value.is_empty() => Ok(value.clone()),
            (_, Some(default)) => self.expand(default, report, depth + 1).map_err(PlaceholderError::Nested),
            (Some(_), None) => Ok(String::new()),
            (None, None) => Err(PlaceholderError::Own(format!(
                "the variable `{name}` is not set: set it, or write a default as `${{{name}:-…}}`"
            ))),
        }
    }

    fn content(&self, path: &str, report: &mut Report) -> Result<String, String> {
        if path.is_empty() {
            return Err("`${file:}` has no path: write `${file:PATH}`".to_owned());
        }
        let file = self.folder.join(path);
        let text = (self.read_file)(&file).map_err(|why| format!("`{}` cannot be read: {why}", file.display()))?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        report.hide(Secret::new(text));
        Ok(text.to_owned())
    }
}

/// An error in a placeholder itself, or in one nested inside it.
enum PlaceholderError {
    Own(String),
    Nested((String, String)),
}

impl PlaceholderError {
    fn at(self, placeholder: &str) -> (String, String) {
        match self {
            Self::Own(why) => (placeholder.to_owned(), why),
            Self::Nested(inside) => inside,
        }
    }
}

/// Returns the index of the brace that closes the placeholder at the start of the text.
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

/// Returns the location of the placeholder if it is on the first line of the value, else that of the value.
fn locate(value: &SourceLocation, placeholder: &str, report: &Report) -> SourceLocation {
    let mut location = value.clone();
    if let Some(line) = report.line(value) {
        let start = line.char_indices().nth(value.column.saturating_sub(1)).map_or(0, |(index, _)| index);
        if let Some(offset) = line[start..].find(placeholder) {
            location.column += line[start..start + offset].chars().count();
        }
    }
    location
}
