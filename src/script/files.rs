//! The files of a script, and positions in them.

use rhai::Position;

use crate::fault::{Fault, SourceLocation};

/// The name and text of each file of a script: its own file first, then modules in import order.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(pub Vec<(String, String)>);

impl Files {
    /// Returns the name of the script's own file.
    pub(super) fn own(&self) -> &str {
        self.0.first().map_or("", |(file, _)| file)
    }

    /// Converts a position of the interpreter. An empty file name means the script's own file.
    pub(super) fn location(&self, file: &str, position: Position) -> SourceLocation {
        let file = if file.is_empty() { self.own() } else { file };
        SourceLocation {
            file: file.to_owned(),
            line: position.line().unwrap_or(0),
            column: if position.is_none() { 0 } else { position.position().unwrap_or(1) },
        }
    }

    /// Returns the text before a location and the text from there on.
    pub(super) fn around(&self, location: &SourceLocation) -> Option<(&str, &str)> {
        let (_, text) = self.0.iter().find(|(file, _)| *file == location.file)?;
        let line = text.split_inclusive('\n').take(location.line.checked_sub(1)?).map(str::len).sum::<usize>();
        let column = text[line..].chars().take(location.column.saturating_sub(1)).map(char::len_utf8).sum::<usize>();
        Some(text.split_at(line + column))
    }

    /// Returns a fault at a position, with its source line.
    pub(super) fn fault(&self, file: &str, position: Position, text: impl Into<String>) -> Fault {
        self.with_source_line(Fault::new(self.location(file, position), text))
    }

    /// Adds the source line to a fault.
    pub(super) fn with_source_line(&self, mut fault: Fault) -> Fault {
        let text = self.0.iter().find(|(file, _)| *file == fault.location.file).map(|(_, text)| text);
        fault.source_line =
            text.and_then(|text| text.lines().nth(fault.location.line.checked_sub(1)?)).map(str::to_owned);
        fault
    }

    /// Sorts faults by location, the script's own file first. Keeps one fault per location and adds the source lines.
    pub(super) fn sorted(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        faults.sort_by(|a, b| {
            let key = |fault: &Fault| {
                let location = &fault.location;
                (location.file != self.own(), location.file.clone(), location.line, location.column)
            };
            key(a).cmp(&key(b))
        });
        faults.dedup_by(|later, first| later.location == first.location);
        faults.into_iter().map(|fault| self.with_source_line(fault)).collect()
    }
}

/// Returns a fault of a whole file.
pub(super) fn file_fault(file: &str, why: String) -> Fault {
    Fault::new(SourceLocation { file: file.to_owned(), ..SourceLocation::default() }, why)
}
