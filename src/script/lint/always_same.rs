//! A comparison whose answer is always the same.

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::{Find, Found, Lint, Look, variable};

pub(super) const LINT: Lint =
    Lint { code: "always-same", docs: include_str!("docs/always-same.md"), find: Find::Each(find) };

/// The comparisons, and whether each holds for two equal values.
const COMPARISONS: &[(&str, bool)] =
    &[("==", true), ("<=", true), (">=", true), ("!=", false), ("<", false), (">", false)];

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    look.visit(|_, path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
            path.last()
        else {
            return;
        };
        let Some((left, right, holds)) = compared(call) else { return };
        if variable(left).is_some() && variable(left) == variable(right) {
            let name = variable(left).unwrap_or_default();
            let text = format!("`{name} {} {name}` is always {holds}", call.name);
            found.put(look, *position, text, "compare it with something else");
        } else if let (Some(one), Some(other)) = (sort(left), sort(right))
            && one != other
        {
            let (name, never) = (&call.name, never(call));
            let text = format!("{one} is never {never} {other}: `{name}` is always {}", name == "!=");
            found.put(look, *position, text, "write both as the same type");
        }
    });
}

/// Returns what values of different types never are to each other, in the words of the comparison.
pub(super) fn never(call: &FnCallExpr) -> &'static str {
    if matches!(call.name.as_str(), "==" | "!=") { "equal to" } else { "smaller or greater than" }
}

/// Returns what is compared, and whether the comparison holds for two equal values.
pub(super) fn compared(call: &FnCallExpr) -> Option<(&Expr, &Expr, bool)> {
    let (_, holds) = COMPARISONS.iter().find(|(operator, _)| call.is_operator_call() && call.name == *operator)?;
    let [left, right] = call.args.as_slice() else { return None };
    Some((left, right, *holds))
}

/// Returns what sort of literal this is; whole and other numbers are of one sort, for they compare.
pub(super) fn sort(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Some("a number"),
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => Some("text"),
        Expr::BoolConstant(..) => Some("true or false"),
        Expr::Unit(_) => Some("nothing"),
        _ => None,
    }
}
