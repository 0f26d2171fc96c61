//! Statements that are never executed.

use rhai::{ASTNode, Expr, Stmt, StmtBlock};

use super::context::{Check, Findings, Lint, LintContext};

pub(super) const LINT: Lint =
    Lint { code: "unreachable-code", docs: include_str!("docs/unreachable-code.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    for unit in &context.compiled.units {
        statements(context, &unit.statements, findings);
    }
    context.visit(|_, path| {
        let mut block = |block: &StmtBlock| statements(context, block.statements(), findings);
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

fn statements(context: &LintContext<'_>, statements: &[Stmt], findings: &mut Findings<'_>) {
    let leaves = |statement: &Stmt| matches!(statement, Stmt::Return(..) | Stmt::BreakLoop(..));
    let Some(at) = statements.iter().position(leaves) else { return };
    if let Some(next) = statements.get(at + 1).filter(|next| !matches!(next, Stmt::Noop(_))) {
        let line = statements[at].position().line().unwrap_or(0);
        let text = format!("this is never executed: line {line} always leaves the block before it");
        findings.add(
            context,
            next.position(),
            text,
            format!("remove it, or put the statement in line {line} under an `if`"),
        );
    }
}
