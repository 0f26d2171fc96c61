//! Rows with aligned columns.

use crate::cli::terminal::{Style, paint};

/// One cell: its text and how it looks.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Option<Style>,
}

impl Cell {
    /// A cell with nothing in it.
    pub(super) const fn empty() -> Self {
        Self { text: String::new(), tone: None }
    }

    /// A cell in plain text.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: None }
    }

    /// A cell in a tone.
    pub(super) fn styled(tone: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }
}

/// Returns rows below a heading, aligned as by [`aligned`].
pub(super) fn table(heading: &[&str], mut rows: Vec<Vec<Cell>>) -> String {
    rows.insert(0, heading.iter().map(|name| Cell::styled(Style::Dim, *name)).collect());
    aligned(&rows)
}

/// Returns rows with their columns under each other, two spaces apart; the last column is not padded.
pub(super) fn aligned(rows: &[Vec<Cell>]) -> String {
    let mut widths = vec![0; rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.text.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        for (index, (cell, width)) in row.iter().zip(&widths).take(used).enumerate() {
            let padding = if index + 1 == used { 0 } else { width - cell.text.chars().count() + 2 };
            line.push_str(&cell.tone.map_or_else(|| cell.text.clone(), |tone| paint(tone, &cell.text)));
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
    fn columns_stand_under_each_other() {
        let rows = vec![vec![Cell::plain("ä"), Cell::plain("x")], vec![Cell::plain("long"), Cell::plain("")]];
        let text = anstream::adapter::strip_str(&table(&["a", "b"], rows)).to_string();
        assert_eq!(text, "a     b\nä     x\nlong\n");
    }
}
