//! The report of `rhaid check`: scripts with their triggers, faults and warnings.

use std::path::Path;

use jiff::Zoned;
use serde::Serialize;

use crate::cli::terminal::{Style, paint, sanitize};
use crate::cli::times::rfc3339;
use crate::fault::Fault;
use crate::script::Declaration;
use crate::script::lint::Finding;

/// Number of next times that are shown per trigger.
const UPCOMING: usize = 3;

/// The result of a check.
#[derive(Default, Serialize)]
pub(super) struct CheckReport {
    pub(super) scripts: Vec<CheckedScript>,
    pub(super) faults: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// A script without faults.
#[derive(Serialize)]
pub(super) struct CheckedScript {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) triggers: Vec<CheckedTrigger>,
}

/// A trigger of a script.
#[derive(Serialize)]
pub(super) struct CheckedTrigger {
    name: String,
    kind: &'static str,
    summary: String,
    file: String,
    line: usize,
    next: Vec<String>,
}

/// A fault or a warning.
#[derive(Serialize)]
pub(super) struct Problem {
    /// Code for `rhaid explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
    #[serde(skip)]
    report: String,
}

impl CheckedTrigger {
    pub(super) fn new(declared: &Declaration, root: &Path, now: &Zoned) -> Self {
        let summary = declared.trigger.summary();
        Self {
            name: declared.policy.name.clone().unwrap_or_else(|| summary.clone()),
            kind: declared.kind,
            summary,
            file: shown(root, &declared.location.file),
            line: declared.location.line,
            next: declared.trigger.upcoming(now, UPCOMING).iter().map(rfc3339).collect(),
        }
    }
}

impl Problem {
    /// Converts a fault of a file below `root`.
    pub(super) fn new(fault: &Fault, root: &Path) -> Self {
        Self {
            code: fault.code,
            file: shown(root, &fault.location.file),
            line: fault.location.line,
            column: fault.location.column,
            message: fault.text.clone(),
            hint: fault.hint.clone(),
            report: fault.report(),
        }
    }

    /// Converts a lint finding of a file below `root`.
    pub(super) fn warning(finding: &Finding, root: &Path) -> Self {
        Self { code: Some(finding.code), ..Self::new(&finding.fault, root) }
    }
}

impl CheckReport {
    /// Adds faults of files below `root`.
    pub(super) fn add_faults(&mut self, faults: &[Fault], root: &Path) {
        self.faults.extend(faults.iter().map(|fault| Problem::new(fault, root)));
    }

    /// Returns one line per fault and warning, in the format that editors parse.
    pub(super) fn compact(&self) -> String {
        let faults = self.faults.iter().map(|fault| compact("", fault));
        let warnings = self.warnings.iter().map(|warning| compact("warning: ", warning));
        faults.chain(warnings).collect()
    }

    /// Returns the report as text with source lines.
    pub(super) fn text(&self) -> String {
        let mut text: String = self.scripts.iter().map(script_text).collect();
        for fault in &self.faults {
            text.push_str(&problem_text(&paint(Style::Error, "fault"), fault));
        }
        for warning in &self.warnings {
            text.push_str(&problem_text(&paint(Style::Warning, "warning"), warning));
        }
        let triggers = self.scripts.iter().map(|script| script.triggers.len()).sum();
        let (scripts, faults) = (self.scripts.len(), self.faults.len());
        let mut counts = vec![count(scripts, "script"), count(triggers, "trigger"), count(faults, "fault")];
        counts.extend((!self.warnings.is_empty()).then(|| count(self.warnings.len(), "warning")));
        text.push_str(&format!("\n{}\n", counts.join(", ")));
        text
    }
}

/// Returns a path relative to the current folder.
fn shown(root: &Path, file: &str) -> String {
    let file = root.join(file);
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    let below = here.ok().and_then(|here| Some(file.strip_prefix(here).ok()?.to_owned()));
    below.unwrap_or(file).display().to_string()
}

fn compact(severity: &str, problem: &Problem) -> String {
    // Editors require a line and a column, also for a problem of the whole file.
    let (line, column) = (problem.line.max(1), problem.column.max(1));
    let message = sanitize(&problem.message).replace('\n', " ");
    let code = problem.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    format!("{}:{line}:{column}: {severity}{message}{code}\n", problem.file)
}

fn script_text(script: &CheckedScript) -> String {
    let mut text = format!("{} {}\n", paint(Style::Success, "ok"), paint(Style::Name, &sanitize(&script.name)));
    for trigger in &script.triggers {
        let name = if trigger.name == trigger.summary { String::new() } else { format!("  ({})", trigger.name) };
        text.push_str(&format!("   {}{}\n", sanitize(&trigger.summary), paint(Style::Dim, &sanitize(&name))));
        for next in &trigger.next {
            text.push_str(&paint(Style::Dim, &format!("      {next}\n")));
        }
    }
    text
}

fn problem_text(severity: &str, problem: &Problem) -> String {
    let code = problem.code.map(|code| paint(Style::Dim, &format!("[{code}] "))).unwrap_or_default();
    format!("\n{severity} {code}{}\n", sanitize(&problem.report))
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
