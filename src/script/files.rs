//! The files a script is made of, and places in them.

use rhai::Position;

use crate::fault::{Fault, SourceLocation};

/// The files a script is made of, with their texts: its own first, then modules in the order they were met.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(pub Vec<(String, String)>);

impl Files {
    /// Returns the name of the script's own file.
    pub(super) fn own(&self) -> &str {
        self.0.first().map_or("", |(file, _)| file)
    }

    /// Returns a place as people read it.
    pub(super) fn location(&self, file: &str, position: Position) -> SourceLocation {
        let file = if file.is_empty() { self.own() } else { file };
        SourceLocation {
            file: file.to_owned(),
            line: position.line().unwrap_or(0),
            column: if position.is_none() { 0 } else { position.position().unwrap_or(1) },
        }
    }

    /// Returns the text before a place, and from there on.
    pub(super) fn around(&self, location: &SourceLocation) -> Option<(&str, &str)> {
        let (_, text) = self.0.iter().find(|(file, _)| *file == location.file)?;
        let line = text.split_inclusive('\n').take(location.line.checked_sub(1)?).map(str::len).sum::<usize>();
        let column = text[line..].chars().take(location.column.saturating_sub(1)).map(char::len_utf8).sum::<usize>();
        Some(text.split_at(line + column))
    }

    /// Returns a fault at a place, with the line of the source that it points at.
    pub(super) fn fault(&self, file: &str, position: Position, text: impl Into<String>) -> Fault {
        self.shown(Fault::new(self.location(file, position), text))
    }

    /// Returns the fault with the line of the source that it points at.
    pub(super) fn shown(&self, mut fault: Fault) -> Fault {
        let text = self.0.iter().find(|(file, _)| *file == fault.location.file).map(|(_, text)| text);
        fault.source_line =
            text.and_then(|text| text.lines().nth(fault.location.line.checked_sub(1)?)).map(str::to_owned);
        fault
    }
}
