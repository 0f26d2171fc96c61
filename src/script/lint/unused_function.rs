//! Functions that are never called.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnPtr, Position, Stmt};

use super::context::{Check, Findings, Lint, LintContext, variable};
use super::handlers::text;

pub(super) const LINT: Lint =
    Lint { code: "unused-function", docs: include_str!("docs/unused-function.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let mut used = BTreeSet::new();
    context.visit(|unit, path| {
        let caller = unit.function.as_ref().map(|function| function.name.as_str());
        let called = match path.last() {
            Some(
                ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
            ) => {
                used.extend(call.args.iter().filter(|_| call.name == "Fn").filter_map(text).map(str::to_owned));
                Some(call.name.to_string())
            }
            Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => {
                value.read_lock::<FnPtr>().map(|pointer| pointer.fn_name().to_owned())
            }
            Some(ASTNode::Expr(expression)) => variable(expression).map(str::to_owned),
            _ => None,
        };
        // A recursive call does not count as a use.
        used.extend(called.filter(|called| caller != Some(called)));
    });
    for function in context.compiled.functions() {
        let name = function.name.as_str();
        if !name.starts_with("anon$") && !name.starts_with('_') && !used.contains(name) {
            let position = name_position(context, name);
            let hint = "remove it, or move it to a module in `_lib/` if other scripts need it";
            findings.add(context, position, format!("the function `{name}` is never called"), hint);
        }
    }
}

/// Returns the position of the name in a function definition.
fn name_position(context: &LintContext<'_>, name: &str) -> Position {
    let head = format!("fn {name}(");
    let lines = context.files.0.first().into_iter().flat_map(|(_, text)| text.lines().enumerate());
    let mut found = lines.filter_map(|(line, text)| Some((line, text[..text.find(&head)?].chars().count())));
    let number = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    found.next().map_or(Position::NONE, |(line, column)| Position::new(number(line + 1), number(column + 4)))
}
