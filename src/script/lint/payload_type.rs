//! Comparisons of a payload, which is text, with another type.

use rhai::{ASTNode, Expr, Stmt};

use super::always_same::{comparison, impossible_relation, literal_type};
use super::context::{Check, Findings, Lint, LintContext, variable};
use super::handlers::Handler;

pub(super) const LINT: Lint =
    Lint { code: "payload-type", docs: include_str!("docs/payload-type.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let handlers = Handler::all(context);
    context.visit(|unit, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
            path.last()
        else {
            return;
        };
        let Some((left, right, _)) = comparison(call) else { return };
        let message = unit.parameters().last().map(rhai::ImmutableString::as_str);
        let is_called = || handlers.iter().any(|handler| handler.kind == "mqtt_subscribe" && handler.calls(unit));
        let Some((name, other)) = [(left, right), (right, left)].into_iter().find_map(|(one, other)| {
            let name = payload(one).filter(|name| message == Some(name))?;
            Some((name, literal_type(other).filter(|of| !matches!(*of, "text" | "`()`"))?))
        }) else {
            return;
        };
        if is_called() {
            let text = format!("`{name}.payload` is text and never {} {other}", impossible_relation(call));
            let hint = format!("write `{name}.json()` to parse the payload, or compare it with text");
            findings.add(context, *position, text, hint);
        }
    });
}

/// Returns the variable in `variable.payload`.
fn payload(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(both, ..) => match &both.rhs {
            Expr::Property(property, _) if property.2 == "payload" => variable(&both.lhs),
            _ => None,
        },
        _ => None,
    }
}
