//! Test results as text, JSON and JUnit XML.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::cli::timeline::format_last;
use crate::fault::Fault;
use crate::sim::{TestFileResult, TestResult};

/// The results of all tests.
#[derive(Default)]
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
    pub(super) took: Duration,
}

/// The results of a test file, with its path as it is printed.
pub(super) struct FileReport {
    pub(super) file: String,
    pub(super) result: TestFileResult,
}

impl FileReport {
    /// Prints the results.
    pub(super) fn print(&self) {
        if self.result.faults.is_empty() && self.result.tests.is_empty() {
            return;
        }
        let mut text = format!("{}\n", paint(Style::Heading, &sanitize(&self.file)));
        for fault in &self.result.faults {
            let _ = writeln!(text, "{}", indented(&fault.report(), 2));
        }
        for test in &self.result.tests {
            let word = match test.fault {
                None => paint(Style::Success, "ok  "),
                Some(_) => paint(Style::Error, "FAIL"),
            };
            let _ = writeln!(text, "  {word} {}", sanitize(&test.name));
            for line in &test.printed {
                let _ = writeln!(text, "       {}", paint(Style::Dim, &sanitize(line)));
            }
            if let Some(fault) = &test.fault {
                let _ = writeln!(text, "{}", indented(&sanitize(&fault.report()), 7));
                text.push_str(&format_last(&test.timeline));
            }
        }
        terminal::print(&text);
    }
}

impl Report {
    fn counts(&self) -> (usize, usize) {
        let tests = self.files.iter().flat_map(|file| &file.result.tests);
        let unread = self.files.iter().filter(|file| !file.result.faults.is_empty()).count();
        let (passed, failed) = tests.partition::<Vec<_>, _>(|test| test.fault.is_none());
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
        let test = |test: &TestResult| {
            json!({
                "name": test.name,
                "line": test.place.line,
                "passed": test.fault.is_none(),
                "took_ms": test.took.as_secs_f64() * 1_000.0,
                "failure": test.fault.as_ref().map(|fault| json!({
                    "file": fault.location.file, "line": fault.location.line, "column": fault.location.column, "text": fault.text,
                })),
                "timeline": test.timeline,
                "printed": test.printed,
            })
        };
        let file = |file: &FileReport| {
            let faults: Vec<_> = file.result.faults.iter().map(Fault::report).collect();
            json!({ "file": file.file, "faults": faults, "tests": file.result.tests.iter().map(test).collect::<Vec<_>>() })
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
            let failures = file.result.tests.iter().filter(|test| test.fault.is_some()).count();
            let (name, errors) = (escaped(&file.file), file.result.faults.len().min(1));
            let tests = file.result.tests.len() + errors;
            let _ = writeln!(
                text,
                "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
            );
            if let Some(fault) = file.result.faults.first() {
                let why = escaped(&fault.report());
                let _ = writeln!(
                    text,
                    "    <testcase name=\"{name}\" classname=\"{name}\"><error>{why}</error></testcase>"
                );
            }
            for test in &file.result.tests {
                let (test_name, time) = (escaped(&test.name), seconds(test.took));
                let _ = write!(text, "    <testcase name=\"{test_name}\" classname=\"{name}\" time=\"{time}\"");
                match &test.fault {
                    None => text.push_str("/>\n"),
                    Some(fault) => {
                        let (why, whole) = (
                            escaped(&fault.text),
                            escaped(&format!("{}\n{}", fault.report(), format_last(&test.timeline))),
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
