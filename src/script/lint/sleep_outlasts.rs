//! Sleeps that are longer than the timeout of the run.

use std::time::Duration;

use rhai::{ASTNode, Expr, Stmt};

use super::context::{Check, Findings, Lint, LintContext};
use super::handlers::{Handler, text};
use crate::units::{parse_duration, show_duration};

pub(super) const LINT: Lint =
    Lint { code: "sleep-outlasts", docs: include_str!("docs/sleep-outlasts.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let handlers = Handler::all(context);
    let usual = context.config.limits.timeout;
    let longest = handlers.iter().filter_map(|handler| handler.timeout).max().unwrap_or(usual).max(usual);
    context.visit(|unit, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) = path.last()
        else {
            return;
        };
        let Some(sleep) = call.args.first().filter(|_| call.name == "sleep").and_then(duration) else { return };
        // Several handlers may call a function, so its limit is the longest timeout.
        let own = handlers.iter().find(|handler| handler.calls(unit)).map(|handler| handler.timeout.unwrap_or(usual));
        let limit = own.unwrap_or(longest);
        if sleep >= limit {
            let text = format!(
                "this sleeps for {}, but the run times out after {}",
                show_duration(sleep),
                show_duration(limit)
            );
            let hint = "use a timer (`timer_start` and `on_timer`), which also survives a restart, or set a longer `timeout` on the trigger";
            findings.add(context, *position, text, hint);
        }
    });
}

/// Returns the value of a duration literal: text, or a number of seconds.
fn duration(expression: &Expr) -> Option<Duration> {
    match expression {
        Expr::IntegerConstant(seconds, _) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        other => parse_duration(text(other)?).ok(),
    }
}
