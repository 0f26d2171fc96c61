//! A payload, which is text, compared with what is none.

use rhai::{ASTNode, Expr, Stmt};

use super::always_same::{compared, never, sort};
use super::handlers::Handler;
use super::{Find, Found, Lint, Look, variable};

pub(super) const LINT: Lint =
    Lint { code: "payload-type", docs: include_str!("docs/payload-type.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    let handlers = Handler::all(look);
    look.visit(|unit, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
            path.last()
        else {
            return;
        };
        let Some((left, right, _)) = compared(call) else { return };
        let message = unit.parameters().last().map(rhai::ImmutableString::as_str);
        let is_woken = || handlers.iter().any(|handler| handler.kind == "mqtt_subscribe" && handler.wakes(unit));
        let Some((name, other)) = [(left, right), (right, left)].into_iter().find_map(|(one, other)| {
            let name = payload(one).filter(|name| message == Some(name))?;
            Some((name, sort(other).filter(|sort| !matches!(*sort, "text" | "nothing"))?))
        }) else {
            return;
        };
        if is_woken() {
            let text = format!("`{name}.payload` is text, and never {} {other}", never(call));
            let hint = format!("write `{name}.json()` for the value in it, or compare it with text");
            found.put(look, *position, text, hint);
        }
    });
}

/// Returns the variable whose payload this is.
fn payload(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(both, ..) => match &both.rhs {
            Expr::Property(property, _) if property.2 == "payload" => variable(&both.lhs),
            _ => None,
        },
        _ => None,
    }
}
