//! Finds calls of functions that nobody has defined.

use rhai::{ASTNode, Expr, FnAccess, FnCallExpr, Position, Stmt};

use super::known::{self, Signature};
use super::{Source, Unit, follow, variables};
use crate::fault::Fault;
use crate::options::nearest;
use crate::script::migration_hints;

/// Checks every call of a unit.
pub(super) fn check(source: &Source<'_>, unit: &Unit, faults: &mut Vec<Fault>) {
    unit.visit(|path| match path.last() {
        Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
            faults.extend(function(source, unit, call, *position));
        }
        Some(ASTNode::Expr(Expr::MethodCall(call, position))) => faults.extend(method(source, call, *position)),
        _ => {}
    });
}

fn function(source: &Source<'_>, unit: &Unit, call: &FnCallExpr, position: Position) -> Option<Fault> {
    if call.is_qualified() {
        return qualified(source, call, position);
    }
    let (name, count) = (call.name.as_str(), call.args.len());
    if call.is_operator_call() || name.starts_with("anon$") || known::is_syntax(name) {
        return None;
    }
    let own: Vec<_> = source.functions().filter(|function| function.name == name).map(Signature::of).collect();
    let all = || own.iter().chain(source.known.named(name));
    if all().any(|signature| signature.count == count) {
        return None;
    }
    let mut fault = unknown(source, position, name, &count.to_string(), &all().collect::<Vec<_>>());
    if all().next().is_none() && variables::locals(unit).contains(name) {
        fault.hint = Some(format!("`{name}` is a variable: write `{name}.call(…)`"));
    }
    Some(fault)
}

fn method(source: &Source<'_>, call: &FnCallExpr, position: Position) -> Option<Fault> {
    let (name, count) = (call.name.as_str(), call.args.len());
    if source.keys.contains(name) || known::is_syntax(name) {
        return None;
    }
    // A function of the script sees what stands before the dot as `this`; one of rhaid's takes it as its first argument.
    let scripts = source.imported.iter().filter_map(|imported| imported.module.as_ref());
    let scripts = scripts.flat_map(|module| module.iter_script_fn_info().map(|(.., function)| function));
    if source.functions().chain(scripts).any(|function| function.name == name && function.params.len() == count) {
        return None;
    }
    let all: Vec<_> = source.known.named(name).iter().collect();
    if all.iter().any(|signature| signature.count == count + 1) {
        return None;
    }
    Some(unknown(source, position, name, &format!("{count}"), &all))
}

fn unknown(source: &Source<'_>, position: Position, name: &str, count: &str, same_name: &[&Signature]) -> Fault {
    if !same_name.is_empty() {
        let noun = if count == "1" { "argument" } else { "arguments" };
        let fault = source.fault(position, format!("no function `{name}` takes {count} {noun}"));
        return fault.with_hint(format!("write {}", listed(same_name.iter().copied())));
    }
    let mut fault = source.fault(position, format!("unknown function `{name}`"));
    if let Some(help) = migration_hints::of_function(name) {
        return fault.with_hint(help);
    }
    let mut names: Vec<&str> = source.functions().map(|function| function.name.as_str()).collect();
    names.retain(|name| !name.starts_with("anon$"));
    names.extend(source.known.names());
    fault.hint = nearest(name, names).map(|near| {
        let own: Vec<_> = source.functions().filter(|function| function.name == near).map(Signature::of).collect();
        format!("did you mean {}?", listed(own.iter().chain(source.known.named(near))))
    });
    fault
}

/// Returns up to four ways to call a function: of many, one for each number of arguments, and those that name them first.
fn listed<'s>(signatures: impl IntoIterator<Item = &'s Signature>) -> String {
    let mut ways: Vec<&Signature> = Vec::new();
    for signature in signatures {
        if !ways.iter().any(|way| way.text == signature.text) {
            ways.push(signature);
        }
    }
    if ways.len() > 4 {
        ways.sort_by_key(|way| (way.count, way.text.contains('…')));
        ways.dedup_by_key(|way| way.count);
    }
    let more = ways.len() > 4;
    ways.truncate(4);
    let mut listed = ways.iter().map(|way| format!("`{}`", way.text)).collect::<Vec<_>>().join(" or ");
    if more {
        listed.push_str(" or …");
    }
    listed
}

/// Checks a call of a module's function.
fn qualified(source: &Source<'_>, call: &FnCallExpr, position: Position) -> Option<Fault> {
    let (root, rest) = call.namespace.path.split_first()?;
    let Some(imported) = source.imported.iter().find(|imported| imported.alias == root.name.as_str()) else {
        return Some(source.unknown_module(root));
    };
    let module = follow(imported.module.as_ref()?, rest)?;
    let public = || module.iter_script_fn_info().filter(|(_, access, ..)| *access == FnAccess::Public);
    let (name, count) = (call.name.as_str(), call.args.len());
    if public().any(|(_, _, other, params, _)| other == name && params == count) {
        return None;
    }
    let same: Vec<_> =
        public().filter(|(_, _, other, ..)| *other == name).map(|(.., function)| Signature::of(function)).collect();
    if !same.is_empty() {
        return Some(unknown(source, position, name, &count.to_string(), &same.iter().collect::<Vec<_>>()));
    }
    let mut fault = source.fault(position, format!("`{}` has no public function `{name}`", imported.file));
    let names = public().map(|(_, _, name, ..)| name).filter(|name| !name.starts_with("anon$"));
    fault.hint = nearest(name, names).map(|near| format!("did you mean `{}::{near}`?", root.name));
    Some(fault)
}
