//! Which fields of its argument a handler reads, so that the others need not be built for each run.

use std::collections::BTreeSet;

use rhai::{ASTFlags, ASTNode, BinaryExpr, Expr, FnCallExpr, Stmt};

use crate::functions::events::{EVENT_METHODS, ReadFields};

/// Returns the fields of the variable `argument` that code reads.
///
/// All, if the variable is used other than as `argument.field`, `argument["field"]` or with a method of events. `is_function` says whether a
/// name is a function of the script, which may read everything.
pub(super) fn read_fields(code: &Expr, argument: &str, is_function: impl Fn(&str) -> bool) -> ReadFields {
    let (mut names, mut has_content) = (BTreeSet::new(), false);
    let is_known = code.walk(&mut Vec::new(), &mut |path| {
        if sees_all_variables(path) {
            return false;
        }
        let [.., ASTNode::Expr(Expr::Variable(variable, ..))] = path else { return true };
        if variable.1 != argument {
            return true;
        }
        match access(path) {
            Some(Access::Field(name)) => drop(names.insert(name.to_owned())),
            Some(Access::Method(name)) if EVENT_METHODS.contains(&name) && !is_function(name) => has_content = true,
            _ => return false,
        }
        true
    });
    if is_known { ReadFields::Only { names, content: has_content } } else { ReadFields::All }
}

/// How a variable is used at the start of a chain such as `msg.params.id`.
enum Access<'a> {
    Field(&'a str),
    Method(&'a str),
}

/// Returns the use of the variable at the end of the path, if it is the start of a chain.
fn access<'a>(path: &'a [ASTNode<'a>]) -> Option<Access<'a>> {
    let [outer @ .., ASTNode::Expr(chain), ASTNode::Expr(variable)] = path else { return None };
    let parts = parts(chain).filter(|parts| std::ptr::eq(&raw const parts.lhs, *variable))?;
    if let Some(ASTNode::Expr(outer)) = outer.last()
        && continues(outer, chain)
    {
        return None;
    }
    match (chain, first(&parts.rhs)) {
        (Expr::Dot(..), Expr::Property(property, _)) => Some(Access::Field(&property.2)),
        (Expr::Dot(..), Expr::MethodCall(call, _)) => method(call).map(Access::Method),
        (Expr::Index(..), Expr::StringConstant(name, _)) => Some(Access::Field(name)),
        _ => None,
    }
}

/// Returns the two sides of `a.b` or `a[b]`.
fn parts(expression: &Expr) -> Option<&BinaryExpr> {
    match expression {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => Some(parts),
        _ => None,
    }
}

/// Returns whether `chain` begins with the index of `outer` and continues with what follows the bracket, as in `list[msg].topic`.
fn continues(outer: &Expr, chain: &Expr) -> bool {
    let is_single_index = matches!(outer, Expr::Index(_, flags, _) if flags.intersects(ASTFlags::BREAK));
    !is_single_index && parts(outer).is_some_and(|outer| std::ptr::eq(&raw const outer.rhs, chain))
}

/// Returns the first part of a chain such as `params.id`.
fn first(chain: &Expr) -> &Expr {
    parts(chain).map_or(chain, |parts| first(&parts.lhs))
}

fn method(call: &FnCallExpr) -> Option<&str> {
    call.args.is_empty().then_some(call.name.as_str())
}

/// Returns whether the node gives other code access to all variables.
fn sees_all_variables(path: &[ASTNode<'_>]) -> bool {
    match path.last() {
        Some(
            ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
        ) => call.capture_parent_scope,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rhai::Engine;

    use super::*;

    fn read(code: &str) -> String {
        let mut engine = Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        let ast = engine.compile(code).unwrap();
        let statements =
            rhai::StmtBlock::new(ast.statements().iter().cloned(), rhai::Position::NONE, rhai::Position::NONE);
        match read_fields(&Expr::Stmt(statements.into()), "msg", |name| name == "text") {
            ReadFields::All => "all".into(),
            ReadFields::Only { names, content } => {
                let names: Vec<_> = names.into_iter().collect();
                format!("{}{}", names.join(" "), if content { " +content" } else { "" })
            }
        }
    }

    #[test]
    fn fields_and_methods_at_the_start_of_a_chain_are_known() {
        for (code, fields) in [
            ("let m = 1; m.msg", ""),
            ("msg.topic", "topic"),
            ("let m = msg.json(); print(m.id + msg.params.id.len())", "params +content"),
            ("`${msg.topic} ${msg?.payload}`", "payload topic"),
            ("msg[\"qos\"] + msg.params[msg.topic]", "params qos topic"),
            ("if x { msg.retain = true; } while msg.dup {}", "dup retain"),
            ("msg.params.id = msg.topic", "params topic"),
            ("f(msg.topic, [msg.time], #{ a: msg.broker })", "broker time topic"),
        ] {
            assert_eq!(read(code), fields, "{code}");
        }
    }

    #[test]
    fn all_fields_are_read_if_the_argument_is_used_as_a_whole() {
        for code in [
            "msg",
            "let m = msg;",
            "f(msg)",
            "`${msg}`",
            "msg + #{ a: 1 }",
            "\"topic\" in msg",
            "for k in msg {}",
            "msg.keys()",
            "msg.text()",
            "msg.json(1)",
            "msg[name]",
            "list[msg].topic",
            "list[msg][\"topic\"]",
            "f!(1)",
            "f!();",
            "let later = || msg.topic;",
            "return msg",
            "msg == x",
            "x = msg;",
            "[msg]",
            "switch msg { _ => 1 }",
            "try { throw msg } catch {}",
        ] {
            assert_eq!(read(code), "all", "{code}");
        }
    }
}
