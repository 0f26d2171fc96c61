//! Tables with aligned columns.

use unicode_width::UnicodeWidthStr as _;

use crate::cli::terminal::{Style, paint};

/// A cell: text and style.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// Returns an empty cell.
    pub(super) const fn empty() -> Self {
        Self { text: String::new(), style: None }
    }

    /// Returns a cell without style.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: None }
    }

    /// Returns a cell with a style.
    pub(super) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

/// Returns a table with a heading.
pub(super) fn table(heading: &[&str], mut rows: Vec<Vec<Cell>>) -> String {
    rows.insert(0, heading.iter().map(|name| Cell::styled(Style::Dim, *name)).collect());
    aligned(&rows)
}

/// Returns rows as lines. Columns are aligned by display width and two spaces apart; the last one is not padded.
pub(super) fn aligned(rows: &[Vec<Cell>]) -> String {
    let mut widths = vec![0; rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.text.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        for (index, (cell, width)) in row.iter().zip(&widths).take(used).enumerate() {
            let padding = if index + 1 == used { 0 } else { width - cell.text.width() + 2 };
            line.push_str(&cell.style.map_or_else(|| cell.text.clone(), |style| paint(style, &cell.text)));
            line.push_str(&" ".repeat(padding));
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec![Cell::plain("ä"), Cell::plain("x")], vec![Cell::plain("long"), Cell::plain("")]];
        let text = anstream::adapter::strip_str(&table(&["a", "b"], rows)).to_string();
        assert_eq!(text, "a     b\nä     x\nlong\n");
    }

    #[test]
    fn columns_are_aligned_by_display_width() {
        let row = |name: &str| vec![Cell::plain(name), Cell::plain("|")];
        let rows = [
            row("客厅灯"),
            row("🚪 door"),
            row("e\u{301}té"),
            row("🇳🇴"),
            row("👩\u{200d}👩\u{200d}👧"),
            row("kitchen"),
        ];
        let text = aligned(&rows);
        // A Chinese character and an emoji are two columns wide; a combining accent has no width of its own.
        assert_eq!(
            text,
            "客厅灯   |\n🚪 door  |\ne\u{301}té      |\n🇳🇴       |\n👩\u{200d}👩\u{200d}👧       |\nkitchen  |\n"
        );
    }
}
