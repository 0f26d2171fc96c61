//! Finds calls of undefined functions.

use rhai::{ASTNode, Expr, FnAccess, FnCallExpr, Position, Stmt};

use super::compiled_file::{CompiledFile, Unit, submodule};
use super::known::{self, Signature};
use super::variables;
use crate::fault::Fault;
use crate::options::nearest;
use crate::script::migration_hints;

/// Checks every call of a unit.
pub(super) fn check(file: &CompiledFile<'_>, unit: &Unit, faults: &mut Vec<Fault>) {
    unit.visit(|path| match path.last() {
        Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
            faults.extend(function(file, unit, call, *position));
        }
        Some(ASTNode::Expr(Expr::MethodCall(call, position))) => faults.extend(method(file, call, *position)),
        _ => {}
    });
}

fn function(file: &CompiledFile<'_>, unit: &Unit, call: &FnCallExpr, position: Position) -> Option<Fault> {
    if call.is_qualified() {
        return qualified(file, call, position);
    }
    let (name, count) = (call.name.as_str(), call.args.len());
    if call.is_operator_call() || name.starts_with("anon$") || known::is_syntax(name) {
        return None;
    }
    let own: Vec<_> = file.functions().filter(|function| function.name == name).map(Signature::of).collect();
    let all = || own.iter().chain(file.known.named(name));
    if all().any(|signature| signature.count == count) {
        return None;
    }
    let mut fault = unknown(file, position, name, &count.to_string(), &all().collect::<Vec<_>>());
    if all().next().is_none() && variables::local_names(unit).contains(name) {
        fault.hint = Some(format!("`{name}` is a variable: write `{name}.call(…)`"));
    }
    Some(fault)
}

fn method(file: &CompiledFile<'_>, call: &FnCallExpr, position: Position) -> Option<Fault> {
    let (name, count) = (call.name.as_str(), call.args.len());
    if file.keys.contains(name) || known::is_syntax(name) {
        return None;
    }
    // A function of the script receives the value before the dot as `this`, a function of rhaid as its first argument.
    let scripts = file.imported.iter().filter_map(|imported| imported.module.as_ref());
    let scripts = scripts.flat_map(|module| module.iter_script_fn_info().map(|(.., function)| function));
    if file.functions().chain(scripts).any(|function| function.name == name && function.params.len() == count) {
        return None;
    }
    let all: Vec<_> = file.known.named(name).iter().collect();
    if all.iter().any(|signature| signature.count == count + 1) {
        return None;
    }
    Some(unknown(file, position, name, &format!("{count}"), &all))
}

fn unknown(file: &CompiledFile<'_>, position: Position, name: &str, count: &str, same_name: &[&Signature]) -> Fault {
    if !same_name.is_empty() {
        let noun = if count == "1" { "argument" } else { "arguments" };
        let fault = file.fault(position, format!("no function `{name}` takes {count} {noun}"));
        return fault.with_hint(format!("write {}", signature_list(same_name.iter().copied())));
    }
    let mut fault = file.fault(position, format!("unknown function `{name}`"));
    if let Some(help) = migration_hints::for_function(name) {
        return fault.with_hint(help);
    }
    let mut names: Vec<&str> = file.functions().map(|function| function.name.as_str()).collect();
    names.retain(|name| !name.starts_with("anon$"));
    names.extend(file.known.names());
    fault.hint = nearest(name, names).map(|near| {
        let own: Vec<_> = file.functions().filter(|function| function.name == near).map(Signature::of).collect();
        format!("did you mean {}?", signature_list(own.iter().chain(file.known.named(near))))
    });
    fault
}

/// Returns up to four signatures as text. Of more, one for each number of arguments, preferably with parameter names.
fn signature_list<'s>(signatures: impl IntoIterator<Item = &'s Signature>) -> String {
    let mut shown: Vec<&Signature> = Vec::new();
    for signature in signatures {
        if !shown.iter().any(|other| other.text == signature.text) {
            shown.push(signature);
        }
    }
    if shown.len() > 4 {
        shown.sort_by_key(|other| (other.count, other.text.contains('…')));
        shown.dedup_by_key(|other| other.count);
    }
    let more = shown.len() > 4;
    shown.truncate(4);
    let mut list = shown.iter().map(|other| format!("`{}`", other.text)).collect::<Vec<_>>().join(" or ");
    if more {
        list.push_str(" or …");
    }
    list
}

/// Checks a call of a module function.
fn qualified(file: &CompiledFile<'_>, call: &FnCallExpr, position: Position) -> Option<Fault> {
    let (root, rest) = call.namespace.path.split_first()?;
    let Some(imported) = file.imported.iter().find(|imported| imported.alias == root.name.as_str()) else {
        return Some(file.unknown_module(root));
    };
    let module = submodule(imported.module.as_ref()?, rest)?;
    let public = || module.iter_script_fn_info().filter(|(_, access, ..)| *access == FnAccess::Public);
    let (name, count) = (call.name.as_str(), call.args.len());
    if public().any(|(_, _, other, params, _)| other == name && params == count) {
        return None;
    }
    let same: Vec<_> =
        public().filter(|(_, _, other, ..)| *other == name).map(|(.., function)| Signature::of(function)).collect();
    if !same.is_empty() {
        return Some(unknown(file, position, name, &count.to_string(), &same.iter().collect::<Vec<_>>()));
    }
    let mut fault = file.fault(position, format!("`{}` has no public function `{name}`", imported.file));
    let names = public().map(|(_, _, name, ..)| name).filter(|name| !name.starts_with("anon$"));
    fault.hint = nearest(name, names).map(|near| format!("did you mean `{}::{near}`?", root.name));
    Some(fault)
}
