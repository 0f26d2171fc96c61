//! A function that nothing calls.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnPtr, Position, Stmt};

use super::handlers::text;
use super::{Find, Found, Lint, Look, variable};

pub(super) const LINT: Lint =
    Lint { code: "unused-function", docs: include_str!("docs/unused-function.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    let mut used = BTreeSet::new();
    look.visit(|unit, path| {
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
        // One that only calls itself is not used.
        used.extend(called.filter(|called| caller != Some(called)));
    });
    for function in look.source.functions() {
        let name = function.name.as_str();
        if !name.starts_with("anon$") && !name.starts_with('_') && !used.contains(name) {
            let position = written(look, name);
            let hint = "take it away, or move it into a module below `_lib/` if other scripts are to have it";
            found.put(look, position, format!("nothing calls the function `{name}`"), hint);
        }
    }
}

/// Returns where a function's name is written.
fn written(look: &Look<'_>, name: &str) -> Position {
    let head = format!("fn {name}(");
    let lines = look.files.0.first().into_iter().flat_map(|(_, text)| text.lines().enumerate());
    let mut found = lines.filter_map(|(line, text)| Some((line, text[..text.find(&head)?].chars().count())));
    let number = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    found.next().map_or(Position::NONE, |(line, column)| Position::new(number(line + 1), number(column + 4)))
}
