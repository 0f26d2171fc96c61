//! Line coverage of the tests.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::cli::test::args::Args;
use crate::config::Limits;
use crate::runtime::{FolderSources, is_test, list_scripts};
use crate::script::Sources;
use crate::script::coverage::{self, LineCounts};

/// Prints the coverage, or writes it in lcov format, as the arguments say.
pub(super) fn print(root: &Path, limits: &Limits, args: &Args) -> anyhow::Result<()> {
    let sources: Arc<dyn Sources> = Arc::new(FolderSources::new(root, limits.script_size));
    let scripts = list_scripts(root).map(|listing| listing.files).unwrap_or_default();
    let mut hits = coverage::line_counts(scripts, &sources, limits);
    hits.retain(|file, lines| !is_test(file) && !lines.is_empty());
    if args.coverage && !args.json {
        terminal::print(&text(&hits));
    }
    match &args.lcov {
        None => Ok(()),
        Some(file) => std::fs::write(file, lcov(&hits, root)).with_context(|| format!("writing {}", file.display())),
    }
}

fn text(hits: &LineCounts) -> String {
    let mut rows = Vec::new();
    for (file, lines) in hits {
        let ran = lines.values().filter(|count| **count > 0).count();
        let share = format!("{} %", 100 * ran / lines.len());
        let left = uncovered(lines.iter().map(|(line, count)| (*line, *count > 0)));
        let left = if left.is_empty() { String::new() } else { format!("not run: {left}") };
        rows.push(vec![
            Cell::plain(sanitize(file)),
            Cell::plain(share),
            Cell::plain(format!("{ran}/{}", lines.len())),
            Cell::styled(Style::Dim, left),
        ]);
    }
    let all: usize = hits.values().map(|lines| lines.len()).sum();
    let ran: usize = hits.values().map(|lines| lines.values().filter(|count| **count > 0).count()).sum();
    let share = format!("{} %", (100 * ran).checked_div(all).unwrap_or(100));
    rows.push(vec![Cell::plain("all"), Cell::plain(share), Cell::plain(format!("{ran}/{all}"))]);
    format!("{}\n{}", paint(Style::Heading, "lines that ran"), aligned(&rows))
}

/// Returns the lines that did not run, as ranges of executable lines.
fn uncovered(lines: impl Iterator<Item = (usize, bool)>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut goes_on = false;
    for (line, has_run) in lines {
        match ranges.last_mut() {
            _ if has_run => {}
            Some(last) if goes_on => last.1 = line,
            _ => ranges.push((line, line)),
        }
        goes_on = !has_run;
    }
    let range = |(from, to): &(usize, usize)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// Returns the coverage in lcov format.
///
/// Source: `geninfo(1)` of lcov, "FILES".
fn lcov(hits: &LineCounts, root: &Path) -> String {
    let mut text = String::new();
    for (file, lines) in hits {
        let ran = lines.values().filter(|count| **count > 0).count();
        let _ = writeln!(text, "TN:\nSF:{}", root.join(file).display());
        for (line, count) in lines {
            let _ = writeln!(text, "DA:{line},{count}");
        }
        let _ = writeln!(text, "LF:{}\nLH:{ran}\nend_of_record", lines.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_did_not_run_are_ranges() {
        let lines = [(1, true), (2, false), (4, false), (5, true), (7, false)];
        assert_eq!(uncovered(lines.into_iter()), "2-4, 7");
        assert_eq!(uncovered([(1, true)].into_iter()), "");
    }
}
