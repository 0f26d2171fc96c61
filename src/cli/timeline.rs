//! The timeline of a sandbox as text.

use std::fmt::Write as _;

use crate::cli::terminal::{Style, paint, sanitize};
use crate::sim::TimelineEntry;

/// The number of entries that a failed test shows.
const SHOWN: usize = 20;

/// Returns the last entries, one per line.
pub(super) fn format_last(timeline: &[TimelineEntry]) -> String {
    let mut text = String::new();
    let left = timeline.len().saturating_sub(SHOWN);
    if !timeline.is_empty() {
        let before = if left > 0 { format!(" (the last {SHOWN} of {})", timeline.len()) } else { String::new() };
        let _ = writeln!(text, "       timeline{before}:");
    }
    for entry in &timeline[left..] {
        let _ = writeln!(text, "         {}", format_entry(entry));
    }
    text
}

/// Returns an entry as a line without its end.
pub(super) fn format_entry(entry: &TimelineEntry) -> String {
    let time = entry.time.strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string();
    let script = if entry.script.is_empty() { String::new() } else { format!("{}: ", entry.script) };
    let text = sanitize(&format!("{script}{}", entry.text));
    let text = if entry.is_bad { paint(Style::Error, &text) } else { text };
    format!("{} {:<7} {text}", paint(Style::Dim, &time), entry.what)
}
