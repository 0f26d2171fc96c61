//! Two webhooks for the same requests.

use super::{Find, Found, Lint, Look};
use crate::fault::Fault;

pub(super) const LINT: Lint =
    Lint { code: "same-webhook", docs: include_str!("docs/same-webhook.md"), find: Find::All(find) };

fn find(looks: &[Look<'_>], found: &mut Found<'_>) {
    let mut known: Vec<(String, &crate::fault::SourceLocation)> = Vec::new();
    for look in looks {
        for declared in look.declared.iter().filter(|declared| declared.kind == "webhook") {
            let summary = declared.trigger.summary();
            if let Some((_, first)) = known.iter().find(|(other, _)| *other == summary) {
                let text = format!("`{summary}` is declared at {first}, too: only one of them is called");
                let fault =
                    Fault::new(declared.location.clone(), text).with_hint("give one of them another path or method");
                found.put_fault(look.files.shown(fault));
            } else {
                known.push((summary, &declared.location));
            }
        }
    }
}
