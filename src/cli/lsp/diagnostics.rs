//! Faults and lint findings as diagnostics of the protocol.

use std::path::Path;
use std::str::FromStr as _;

use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, NumberOrString, Uri,
};
use url::Url;

use super::text::Text;
use crate::fault::Fault;
use crate::script::lint::{Finding, LINTS};

/// Converts a fault.
pub(super) fn fault(fault: &Fault, text: &Text, root: &Path) -> Diagnostic {
    let calls = fault.calls.iter().filter_map(|call| {
        let uri = uri(&root.join(&call.location.file))?;
        let message = format!("in {}, called here", call.function);
        // The text of the other file is not loaded, so the range is the start of the line.
        let range = Text::new("\n".repeat(call.location.line)).span_of(&call.location);
        Some(DiagnosticRelatedInformation { location: Location { uri, range }, message })
    });
    let calls: Vec<_> = calls.collect();
    Diagnostic {
        range: text.span_of(&fault.location),
        severity: Some(DiagnosticSeverity::ERROR),
        source: Some("rhaid".into()),
        code: fault.code.map(|code| NumberOrString::String(code.into())),
        message: message(fault),
        related_information: (!calls.is_empty()).then_some(calls),
        ..Diagnostic::default()
    }
}

/// Converts a lint finding, with the first line of its explanation.
pub(super) fn finding(finding: &Finding, text: &Text, _: &Path) -> Diagnostic {
    let lint = LINTS.iter().find(|lint| lint.code == finding.code);
    let sentence =
        lint.and_then(|lint| lint.docs.trim().lines().find(|line| !line.is_empty() && !line.starts_with('#')));
    let more = sentence.map(|sentence| format!("\n{sentence}")).unwrap_or_default();
    let is_unused = finding.code.starts_with("unused-") || finding.code == "unreachable-code";
    Diagnostic {
        range: text.span_of(&finding.fault.location),
        severity: Some(DiagnosticSeverity::WARNING),
        source: Some("rhaid".into()),
        code: Some(NumberOrString::String(finding.code.into())),
        message: format!("{}{more}\nrun `rhaid explain {}` for details", message(&finding.fault), finding.code),
        tags: is_unused.then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..Diagnostic::default()
    }
}

fn message(fault: &Fault) -> String {
    match &fault.hint {
        Some(hint) => format!("{}\nhelp: {hint}", fault.text),
        None => fault.text.clone(),
    }
}

/// Returns the URI of a file.
pub(super) fn uri(path: &Path) -> Option<Uri> {
    Uri::from_str(Url::from_file_path(path).ok()?.as_str()).ok()
}
