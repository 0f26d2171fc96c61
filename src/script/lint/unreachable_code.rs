//! Statements that are never reached.

use rhai::{ASTNode, Expr, Stmt, StmtBlock};

use super::{Find, Found, Lint, Look};

pub(super) const LINT: Lint =
    Lint { code: "unreachable-code", docs: include_str!("docs/unreachable-code.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    for unit in &look.source.units {
        statements(look, &unit.statements, found);
    }
    look.visit(|_, path| {
        let mut block = |block: &StmtBlock| statements(look, block.statements(), found);
        match path.last() {
            Some(ASTNode::Expr(Expr::Stmt(statements))) => block(statements),
            Some(ASTNode::Stmt(Stmt::Block(statements))) => block(statements),
            Some(ASTNode::Stmt(
                Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..) | Stmt::TryCatch(flow, _),
            )) => {
                block(&flow.body);
                block(&flow.branch);
            }
            Some(ASTNode::Stmt(Stmt::For(each, _))) => block(&each.2.body),
            _ => {}
        }
    });
}

fn statements(look: &Look<'_>, statements: &[Stmt], found: &mut Found<'_>) {
    let leaves = |statement: &Stmt| matches!(statement, Stmt::Return(..) | Stmt::BreakLoop(..));
    let Some(at) = statements.iter().position(leaves) else { return };
    if let Some(next) = statements.get(at + 1).filter(|next| !matches!(next, Stmt::Noop(_))) {
        let line = statements[at].position().line().unwrap_or(0);
        let text = format!("this is never reached: line {line} leaves before it");
        found.put(look, next.position(), text, "take it away, or put what leaves under an `if`");
    }
}
