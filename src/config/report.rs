//! Faults of a configuration, collected while it is read.

use std::collections::{BTreeMap, HashSet};

use crate::fault::{Fault, SourceLocation};
use crate::secrets::{Mask, Secret};
use crate::value::map_of;

const MAX_FAULTS: usize = 100;
const MAX_LINE: usize = 500;
const MAX_TEXT: usize = 600;

/// The faults of a configuration, and the secrets to mask in them.
#[derive(Debug, Default)]
pub(super) struct Report {
    file: String,
    lines: Vec<String>,
    faults: Vec<Fault>,
    secrets: Vec<Secret>,
    hidden: HashSet<usize>,
}

impl Report {
    /// Creates an empty report about a text.
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), lines: text.lines().map(str::to_owned).collect(), ..Self::default() }
    }

    /// Returns a location in the file.
    pub(super) fn location(&self, line: usize, column: usize) -> SourceLocation {
        SourceLocation { file: self.file.clone(), line, column }
    }

    /// Returns the source line of a location, if it is in the file.
    pub(super) fn line(&self, location: &SourceLocation) -> Option<&str> {
        let index = location.line.checked_sub(1).filter(|_| location.file == self.file)?;
        self.lines.get(index).map(String::as_str)
    }

    /// Adds a fault.
    pub(super) fn fault(&mut self, location: &SourceLocation, text: impl Into<String>) {
        self.faults.push(fault(location, text));
    }

    /// Adds a fault with a hint.
    pub(super) fn fault_with_hint(
        &mut self,
        location: &SourceLocation,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.faults.push(fault(location, text).with_hint(hint));
    }

    /// Returns whether there was a fault.
    pub(super) fn is_bad(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Registers a secret value, which is masked in faults and in later output.
    pub(super) fn hide(&mut self, secret: Secret) {
        if !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
    }

    /// Omits the source line of a location from faults, because it contains a secret.
    pub(super) fn hide_line(&mut self, location: &SourceLocation) {
        self.hidden.insert(location.line);
    }

    /// Returns the registered secrets.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.clone()
    }

    /// Returns the source lines of locations, with secrets masked and without very long lines.
    pub(super) fn shown_lines<'p>(
        &self,
        locations: impl IntoIterator<Item = &'p SourceLocation>,
    ) -> BTreeMap<usize, String> {
        let mask = self.mask();
        map_of(locations.into_iter().filter_map(|location| Some((location.line, self.shown_line(location, &mask)?))))
    }

    /// Returns the faults in the order of the file, without duplicates, with source lines and masked secrets; a large number is truncated.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        let mask = self.mask();
        let (mut faults, mut seen) = (std::mem::take(&mut self.faults), HashSet::new());
        faults.sort_by_key(|fault| (fault.location.line, fault.location.column));
        faults.retain(|fault| seen.insert((fault.location.line, fault.location.column, fault.text.clone())));
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        for fault in &mut faults {
            fault.source_line = self.shown_line(&fault.location, &mask);
            fault.text = shorten(&mask.apply(&fault.text));
            fault.hint = fault.hint.take().map(|hint| mask.apply(&hint).into_owned());
        }
        if more > 0 {
            faults.push(fault(&self.location(0, 0), format!("{more} more faults: fix those above first")));
        }
        faults
    }

    fn mask(&self) -> Mask {
        Mask::new(self.secrets.iter().cloned())
    }

    fn shown_line(&self, location: &SourceLocation, mask: &Mask) -> Option<String> {
        let line =
            self.line(location).filter(|line| line.len() <= MAX_LINE && !self.hidden.contains(&location.line))?;
        Some(mask.apply(line).into_owned())
    }
}

/// Shortens a long text, which quotes a value, in the middle.
fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= MAX_TEXT {
        return text.to_owned();
    }
    let (start, end): (String, String) =
        (text.chars().take(MAX_TEXT / 2).collect(), text.chars().skip(count - MAX_TEXT / 2).collect());
    format!("{start} … {end}")
}

/// Returns a configuration fault.
pub(super) fn fault(location: &SourceLocation, text: impl Into<String>) -> Fault {
    Fault { kind: "config".into(), ..Fault::new(location.clone(), text) }
}
