//! Comparisons with a constant result.

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::context::{Check, Findings, Lint, LintContext, variable};

pub(super) const LINT: Lint =
    Lint { code: "always-same", docs: include_str!("docs/always-same.md"), check: Check::Each(check) };

/// The comparison operators, and the result of each for two equal values.
const COMPARISONS: &[(&str, bool)] =
    &[("==", true), ("<=", true), (">=", true), ("!=", false), ("<", false), (">", false)];

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    context.visit(|_, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
            path.last()
        else {
            return;
        };
        let Some((left, right, holds)) = comparison(call) else { return };
        if variable(left).is_some() && variable(left) == variable(right) {
            let name = variable(left).unwrap_or_default();
            let text = format!("`{name} {} {name}` is always {holds}", call.name);
            findings.add(context, *position, text, "compare it with another value");
        } else if let (Some(one), Some(other)) = (literal_type(left), literal_type(right))
            && one != other
        {
            let (name, relation) = (&call.name, impossible_relation(call));
            let text = format!("{one} is never {relation} {other}: `{name}` is always {}", name == "!=");
            findings.add(context, *position, text, "write both as the same type");
        }
    });
}

/// Returns the relation that values of different types never have, for a message.
pub(super) fn impossible_relation(call: &FnCallExpr) -> &'static str {
    if matches!(call.name.as_str(), "==" | "!=") { "equal to" } else { "smaller or greater than" }
}

/// Returns the operands of a comparison, and its result for two equal values.
pub(super) fn comparison(call: &FnCallExpr) -> Option<(&Expr, &Expr, bool)> {
    let (_, holds) = COMPARISONS.iter().find(|(operator, _)| call.is_operator_call() && call.name == *operator)?;
    let [left, right] = call.args.as_slice() else { return None };
    Some((left, right, *holds))
}

/// Returns the type of a literal for a message. Integers and floats have the same type, because they can be compared.
pub(super) fn literal_type(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Some("a number"),
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => Some("text"),
        Expr::BoolConstant(..) => Some("a bool"),
        Expr::Unit(_) => Some("`()`"),
        _ => None,
    }
}
