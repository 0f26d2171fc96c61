//! Imported modules that are not used.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Stmt};

use super::context::{Check, Findings, Lint, LintContext};

pub(super) const LINT: Lint =
    Lint { code: "unused-import", docs: include_str!("docs/unused-import.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let mut used = BTreeSet::new();
    context.visit(|_, path| {
        let namespace = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => &call.namespace,
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => &variable.2,
            _ => return,
        };
        used.extend(namespace.path.first().map(|root| root.name.to_string()));
    });
    // An import without an alias only runs the top level of the module.
    for import in context.imports.iter().filter(|import| !import.alias.is_empty() && !used.contains(&import.alias)) {
        let text = format!("`{}` is imported but not used", import.alias);
        findings.add(context, import.position, text, "remove the import");
    }
}
