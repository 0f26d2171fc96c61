//! Test results as text, JSON and JUnit XML.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::cli::sandbox::{TimelineEntry, format_last};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::fault::{Fault, SourceLocation};

/// The results of all tests.
#[derive(Default)]
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
    pub(super) took: Duration,
}

/// The results of a test file.
pub(super) struct FileReport {
    pub(super) file: String,
    /// The faults of a file that cannot be loaded.
    pub(super) faults: Vec<Fault>,
    pub(super) verdicts: Vec<Verdict>,
}

/// The result of a test.
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) place: SourceLocation,
    pub(super) took: Duration,
    /// The failure; `None` if the test passed.
    pub(super) fault: Option<Fault>,
    pub(super) timeline: Vec<TimelineEntry>,
    pub(super) printed: Vec<String>,
}

impl FileReport {
    /// Prints the results.
    pub(super) fn print(&self) {
        if self.faults.is_empty() && self.verdicts.is_empty() {
            return;
        }
        let mut text = format!("{}\n", paint(Style::Heading, &sanitize(&self.file)));
        for fault in &self.faults {
            let _ = writeln!(text, "{}", indented(&fault.report(), 2));
        }
        for verdict in &self.verdicts {
            let word = match verdict.fault {
                None => paint(Style::Success, "ok  "),
                Some(_) => paint(Style::Error, "FAIL"),
            };
            let _ = writeln!(text, "  {word} {}", sanitize(&verdict.name));
            for line in &verdict.printed {
                let _ = writeln!(text, "       {}", paint(Style::Dim, &sanitize(line)));
            }
            if let Some(fault) = &verdict.fault {
                let _ = writeln!(text, "{}", indented(&sanitize(&fault.report()), 7));
                text.push_str(&format_last(&verdict.timeline));
            }
        }
        terminal::print(&text);
    }
}

impl Report {
    fn counts(&self) -> (usize, usize) {
        let verdicts = self.files.iter().flat_map(|file| &file.verdicts);
        let unread = self.files.iter().filter(|file| !file.faults.is_empty()).count();
        let (passed, failed) = verdicts.partition::<Vec<_>, _>(|verdict| verdict.fault.is_none());
        (passed.len(), failed.len() + unread)
    }

    /// Returns whether there were no tests.
    pub(super) fn is_empty(&self) -> bool {
        self.counts() == (0, 0)
    }

    /// Returns whether all tests passed.
    pub(super) fn is_good(&self) -> bool {
        self.counts().1 == 0
    }

    /// Prints the totals, or the whole report as JSON.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return terminal::print_json(&self.json());
        }
        let (passed, failed) = self.counts();
        if passed + failed > 0 {
            let tone = if failed == 0 { Style::Success } else { Style::Error };
            let failures = if failed == 0 { String::new() } else { format!(", {failed} failed") };
            let sum = paint(tone, &format!("{passed} passed{failures}"));
            terminal::print(&format!("{sum} ({} ms)\n", self.took.as_millis()));
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let test = |verdict: &Verdict| {
            json!({
                "name": verdict.name,
                "line": verdict.place.line,
                "passed": verdict.fault.is_none(),
                "took_ms": verdict.took.as_secs_f64() * 1_000.0,
                "failure": verdict.fault.as_ref().map(|fault| json!({
                    "file": fault.location.file, "line": fault.location.line, "column": fault.location.column, "text": fault.text,
                })),
                "timeline": verdict.timeline,
                "printed": verdict.printed,
            })
        };
        let file = |file: &FileReport| {
            let faults: Vec<_> = file.faults.iter().map(Fault::report).collect();
            json!({ "file": file.file, "faults": faults, "tests": file.verdicts.iter().map(test).collect::<Vec<_>>() })
        };
        let (passed, failed) = self.counts();
        json!({ "passed": passed, "failed": failed, "files": self.files.iter().map(file).collect::<Vec<_>>() })
    }

    /// Returns the report as JUnit XML.
    ///
    /// Source: the schema of the Jenkins xUnit plugin, `junit-10.xsd`.
    pub(super) fn junit(&self) -> String {
        let (passed, failed) = self.counts();
        let seconds = |took: Duration| format!("{:.3}", took.as_secs_f64());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{failed}\" time=\"{}\">\n",
            passed + failed,
            seconds(self.took)
        );
        for file in &self.files {
            let failures = file.verdicts.iter().filter(|verdict| verdict.fault.is_some()).count();
            let (name, errors) = (escaped(&file.file), file.faults.len().min(1));
            let tests = file.verdicts.len() + errors;
            let _ = writeln!(
                text,
                "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
            );
            if let Some(fault) = file.faults.first() {
                let why = escaped(&fault.report());
                let _ = writeln!(
                    text,
                    "    <testcase name=\"{name}\" classname=\"{name}\"><error>{why}</error></testcase>"
                );
            }
            for verdict in &file.verdicts {
                let (test, time) = (escaped(&verdict.name), seconds(verdict.took));
                let _ = write!(text, "    <testcase name=\"{test}\" classname=\"{name}\" time=\"{time}\"");
                match &verdict.fault {
                    None => text.push_str("/>\n"),
                    Some(fault) => {
                        let (why, whole) = (
                            escaped(&fault.text),
                            escaped(&format!("{}\n{}", fault.report(), format_last(&verdict.timeline))),
                        );
                        let _ = writeln!(text, "><failure message=\"{why}\">{whole}</failure></testcase>");
                    }
                }
            }
            text.push_str("  </testsuite>\n");
        }
        text + "</testsuites>\n"
    }
}

fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.lines().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

/// Returns text escaped for XML, without characters that XML forbids.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in anstream::adapter::strip_str(text).to_string().chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
