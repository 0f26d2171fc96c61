//! Webhooks with the same path and method.

use super::context::{Check, Findings, Lint, LintContext};
use crate::fault::Fault;

pub(super) const LINT: Lint =
    Lint { code: "same-webhook", docs: include_str!("docs/same-webhook.md"), check: Check::All(check) };

fn check(contexts: &[LintContext<'_>], findings: &mut Findings<'_>) {
    let mut known: Vec<(String, &crate::fault::SourceLocation)> = Vec::new();
    for context in contexts {
        for declared in context.declarations.iter().filter(|declared| declared.kind == "webhook") {
            let summary = declared.trigger.summary();
            if let Some((_, first)) = known.iter().find(|(other, _)| *other == summary) {
                let text = format!("`{summary}` is also declared at {first}: only one of them is called");
                let fault =
                    Fault::new(declared.location.clone(), text).with_hint("change the path or method of one of them");
                findings.add_fault(context.files.with_source_line(fault));
            } else {
                known.push((summary, &declared.location));
            }
        }
    }
}
