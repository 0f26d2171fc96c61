//! The faults of a config, collected until all of it is read.

use std::collections::{BTreeMap, HashSet};

use crate::fault::{Fault, SourceLocation};
use crate::secrets::{Mask, Secret};
use crate::value::map_of;

const MAX_FAULTS: usize = 100;
const MAX_LINE: usize = 500;
const MAX_TEXT: usize = 600;

/// The faults of a config, and the secrets that must not show in them.
#[derive(Debug, Default)]
pub(super) struct Report {
    file: String,
    lines: Vec<String>,
    faults: Vec<Fault>,
    secrets: Vec<Secret>,
    hidden: HashSet<usize>,
}

impl Report {
    /// Starts a report about a text.
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), lines: text.lines().map(str::to_owned).collect(), ..Self::default() }
    }

    /// Returns a place in the file.
    pub(super) fn place(&self, line: usize, column: usize) -> SourceLocation {
        SourceLocation { file: self.file.clone(), line, column }
    }

    /// Returns a line of the file, if the place lies in it.
    pub(super) fn line(&self, place: &SourceLocation) -> Option<&str> {
        let index = place.line.checked_sub(1).filter(|_| place.file == self.file)?;
        self.lines.get(index).map(String::as_str)
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, place: &SourceLocation, text: impl Into<String>) {
        self.faults.push(fault(place, text));
    }

    /// Notes a fault and what to do about it.
    pub(super) fn fault_with_hint(&mut self, place: &SourceLocation, text: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(fault(place, text).with_hint(hint));
    }

    /// Returns whether there was a fault.
    pub(super) fn is_bad(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Keeps a value out of faults, and out of all that is shown later.
    pub(super) fn hide(&mut self, secret: Secret) {
        if !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
    }

    /// Never shows the line of a place in a fault: a secret stands there.
    pub(super) fn hide_line(&mut self, place: &SourceLocation) {
        self.hidden.insert(place.line);
    }

    /// Returns the secrets that were met.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.clone()
    }

    /// Returns the lines that places stand on, as they may be shown: secrets masked, and none that is too long to be read.
    pub(super) fn shown_lines<'p>(
        &self,
        places: impl IntoIterator<Item = &'p SourceLocation>,
    ) -> BTreeMap<usize, String> {
        let mask = self.mask();
        map_of(places.into_iter().filter_map(|place| Some((place.line, self.shown_line(place, &mask)?))))
    }

    /// Returns the faults in the order of the file, each once, with their source lines, secrets masked; after many comes their number.
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
            faults.push(fault(&self.place(0, 0), format!("{more} more faults: mend those above first")));
        }
        faults
    }

    fn mask(&self) -> Mask {
        Mask::new(self.secrets.iter().cloned())
    }

    fn shown_line(&self, place: &SourceLocation, mask: &Mask) -> Option<String> {
        let line = self.line(place).filter(|line| line.len() <= MAX_LINE && !self.hidden.contains(&place.line))?;
        Some(mask.apply(line).into_owned())
    }
}

/// Takes the middle out of a text that is too long to be read: a value is quoted in it.
fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= MAX_TEXT {
        return text.to_owned();
    }
    let (start, end): (String, String) =
        (text.chars().take(MAX_TEXT / 2).collect(), text.chars().skip(count - MAX_TEXT / 2).collect());
    format!("{start} … {end}")
}

/// Returns a fault of a config.
pub(super) fn fault(place: &SourceLocation, text: impl Into<String>) -> Fault {
    Fault { kind: "config".into(), ..Fault::new(place.clone(), text) }
}
