//! Text with line index. Positions are those of the protocol: lines from 0, columns in UTF-16 code units.

use std::ops::Range;
use std::sync::Arc;

use lsp_types::{Position, Range as Span, TextDocumentContentChangeEvent};

use crate::fault::SourceLocation;

/// Text with line index.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    /// The byte offset of each line.
    lines: Arc<[usize]>,
}

impl Text {
    pub(super) fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    /// Returns the offset and the text of a line, counted from 0, without the line end.
    fn line(&self, line: usize) -> Option<(usize, &str)> {
        let start = *self.lines.get(line)?;
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let line = &self.text[start..end];
        Some((start, line.strip_suffix('\r').unwrap_or(line)))
    }

    /// Returns the byte offset of a position. A column past the end of a line means its end.
    pub(super) fn offset(&self, position: Position) -> usize {
        let Some((start, line)) = self.line(position.line as usize) else { return self.text.len() };
        let mut units = 0;
        for (at, character) in line.char_indices() {
            if units >= position.character as usize {
                return start + at;
            }
            units += character.len_utf16();
        }
        start + line.len()
    }

    /// Returns the position of a byte offset.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let before = self.text.get(self.lines[line]..offset).unwrap_or_default();
        Position::new(line as u32, before.encode_utf16().count() as u32)
    }

    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        Span::new(self.position(range.start), self.position(range.end))
    }

    /// Returns the range to underline for a fault: the word at its location, or the rest of the line.
    pub(super) fn span_of(&self, place: &SourceLocation) -> Span {
        let Some((start, line)) = self.line(place.line.saturating_sub(1)) else {
            let end = self.position(self.text.len());
            return Span::new(end, end);
        };
        let from = line.char_indices().nth(place.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let from = if place.column == 0 { line.len() - line.trim_start().len() } else { from };
        let rest = &line[from..];
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 && place.column > 0 { word } else { rest.trim_end().len() };
        self.span(&(start + from..start + from + length))
    }

    /// Returns the text after a change.
    pub(super) fn changed(&self, change: &TextDocumentContentChangeEvent) -> Self {
        let Some(range) = change.range else { return Self::new(change.text.as_str()) };
        let from = self.offset(range.start);
        let to = self.offset(range.end).max(from);
        Self::new(format!("{}{}{}", &self.text[..from], change.text, &self.text[to..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_utf_16_units() {
        let text = Text::new("a\n🚪ü = nope(1);\r\nb");
        let place = SourceLocation { file: String::new(), line: 2, column: 6 };
        assert_eq!(text.span_of(&place), Span::new(Position::new(1, 6), Position::new(1, 10)));
        let change = |range, new: &str| TextDocumentContentChangeEvent { range, range_length: None, text: new.into() };
        let span = Span::new(Position::new(1, 2), Position::new(1, 3));
        assert_eq!(&*text.changed(&change(Some(span), "xy")).text, "a\n🚪xy = nope(1);\r\nb");
        assert_eq!(text.position(text.offset(Position::new(1, 99))), Position::new(1, 14));
        assert_eq!(text.offset(Position::new(9, 0)), text.text.len());
    }
}
