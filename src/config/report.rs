//! The faults of a config, collected until all of it is read.

use std::collections::HashSet;

use crate::fault::{Fault, Place};
use crate::secrets::{Mask, Secret};

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
    pub(super) fn place(&self, line: usize, column: usize) -> Place {
        Place { file: self.file.clone(), line, column }
    }

    /// Returns a line of the file, if the place lies in it.
    pub(super) fn line(&self, place: &Place) -> Option<&str> {
        let index = place.line.checked_sub(1).filter(|_| place.file == self.file)?;
        self.lines.get(index).map(String::as_str)
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, place: &Place, text: impl Into<String>) {
        self.faults.push(fault(place, text));
    }

    /// Notes a fault and what to do about it.
    pub(super) fn fault_with_hint(&mut self, place: &Place, text: impl Into<String>, hint: impl Into<String>) {
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
    pub(super) fn hide_line(&mut self, place: &Place) {
        self.hidden.insert(place.line);
    }

    /// Returns the secrets that were met.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.clone()
    }

    /// Returns the faults in the order of the file, each once, with their source lines, secrets masked.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mask = Mask::new(self.secrets.iter().cloned());
        let mut faults: Vec<Fault> = Vec::new();
        for mut fault in self.faults {
            if !self.hidden.contains(&fault.place.line) {
                let index = fault.place.line.checked_sub(1).filter(|_| fault.place.file == self.file);
                fault.source_line =
                    index.and_then(|index| self.lines.get(index)).map(|line| mask.apply(line).into_owned());
            }
            fault.text = mask.apply(&fault.text).into_owned();
            fault.hint = fault.hint.map(|hint| mask.apply(&hint).into_owned());
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
        faults
    }
}

/// Returns a fault of a config.
pub(super) fn fault(place: &Place, text: impl Into<String>) -> Fault {
    Fault { kind: "config".into(), ..Fault::new(place.clone(), text) }
}
