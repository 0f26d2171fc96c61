//! A module that is imported and not used.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Stmt};

use super::{Find, Found, Lint, Look};

pub(super) const LINT: Lint =
    Lint { code: "unused-import", docs: include_str!("docs/unused-import.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    let mut used = BTreeSet::new();
    look.visit(|_, path| {
        let namespace = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => &call.namespace,
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => &variable.2,
            _ => return,
        };
        used.extend(namespace.path.first().map(|root| root.name.to_string()));
    });
    // Without a name, what a module does at its top level is all that is wanted.
    for import in look.imports.iter().filter(|import| !import.alias.is_empty() && !used.contains(&import.alias)) {
        let text = format!("`{}` is imported and not used", import.alias);
        found.put(look, import.position, text, "take the import away");
    }
}
