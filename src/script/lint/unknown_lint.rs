//! Comments that allow an unknown lint.

use rhai::Position;

use super::allow::Allowed;
use super::context::{Check, Findings, Lint, LintContext};
use crate::options::nearest;

pub(super) const LINT: Lint =
    Lint { code: "unknown-lint", docs: include_str!("docs/unknown-lint.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    for allowed in Allowed::of(context.files) {
        if context.codes.contains(&allowed.code.as_str()) {
            continue;
        }
        let near = nearest(&allowed.code, context.codes.iter().copied());
        let hint = near.map_or_else(
            || "run `rhaid explain` for a list of all lints".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let number = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let position = Position::new(number(allowed.location.line), number(allowed.location.column));
        findings.add(context, position, format!("unknown lint `{}`", allowed.code), hint);
    }
}
