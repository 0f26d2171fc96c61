//! A sleep that is longer than its run may be.

use std::time::Duration;

use rhai::{ASTNode, Expr, Stmt};

use super::handlers::{Handler, text};
use super::{Find, Found, Lint, Look};
use crate::units::{parse_duration, show_duration};

pub(super) const LINT: Lint =
    Lint { code: "sleep-outlasts", docs: include_str!("docs/sleep-outlasts.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    let handlers = Handler::all(look);
    let usual = look.config.limits.timeout;
    let longest = handlers.iter().filter_map(|handler| handler.timeout).max().unwrap_or(usual).max(usual);
    look.visit(|unit, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) = path.last()
        else {
            return;
        };
        let Some(sleep) = call.args.first().filter(|_| call.name == "sleep").and_then(duration) else { return };
        // What a function sleeps that several handlers may call is judged by the most patient of them.
        let own = handlers.iter().find(|handler| handler.wakes(unit)).map(|handler| handler.timeout.unwrap_or(usual));
        let limit = own.unwrap_or(longest);
        if sleep >= limit {
            let text = format!(
                "this sleeps for {}, and the run ends with a timeout after {}",
                show_duration(sleep),
                show_duration(limit)
            );
            let hint = "use a timer (`timer_start` and `on_timer`), which also outlives a restart, or give the trigger a longer `timeout`";
            found.put(look, *position, text, hint);
        }
    });
}

/// Returns the duration that stands here, of text or of a number of seconds.
fn duration(expression: &Expr) -> Option<Duration> {
    match expression {
        Expr::IntegerConstant(seconds, _) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        other => parse_duration(text(other)?).ok(),
    }
}
