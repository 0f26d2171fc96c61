//! Variables and constants that are never read.

use std::collections::BTreeSet;

use rhai::{ASTFlags, ASTNode, Expr, Position, Stmt};

use super::context::{Check, Findings, Lint, LintContext, variable};
use crate::script::analyse::Unit;

pub(super) const LINT: Lint =
    Lint { code: "unused-variable", docs: include_str!("docs/unused-variable.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let read: Vec<_> = context.compiled.units.iter().map(reads).collect();
    for (at, unit) in context.compiled.units.iter().enumerate() {
        for (name, is_constant, position) in defined(unit) {
            // All functions can read the constants of the top level.
            let is_read =
                read[at].contains(&name) || (is_constant && at == 0 && read.iter().any(|read| read.contains(&name)));
            if !is_read && !name.starts_with('_') {
                let hint = format!("remove it, or rename it to `_{name}` if it is intentional");
                findings.add(context, position, format!("`{name}` is never read"), hint);
            }
        }
    }
}

fn defined(unit: &Unit) -> Vec<(String, bool, Position)> {
    let mut defined = Vec::new();
    unit.visit(|path| {
        if let Some(ASTNode::Stmt(Stmt::Var(variable, flags, _))) = path.last()
            && !flags.contains(ASTFlags::EXPORTED)
        {
            let name = &variable.0;
            defined.push((name.name.to_string(), flags.contains(ASTFlags::CONSTANT), name.pos));
        }
    });
    defined
}

/// Returns the names that are read. An assignment is not a read.
fn reads(unit: &Unit) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    unit.visit(|path| match path {
        [.., ASTNode::Stmt(Stmt::Assignment(assignment)), ASTNode::Expr(expression)]
            if std::ptr::eq(&raw const assignment.1.lhs, *expression) => {}
        [.., ASTNode::Expr(expression)] => names.extend(variable(expression).map(str::to_owned)),
        [.., ASTNode::Stmt(Stmt::Export(export, _))] => {
            names.insert(export.0.name.to_string());
        }
        _ => {}
    });
    // `global::NAME` is the constant of the top level.
    unit.visit(|path| {
        if let Some(ASTNode::Expr(Expr::Variable(variable, ..))) = path.last()
            && variable.2.path.first().is_some_and(|root| root.name == "global")
        {
            names.insert(variable.1.to_string());
        }
    });
    names
}
