//! Finds assignments to captured variables, which the next run would not see.

use std::collections::BTreeMap;

use rhai::{ASTNode, Dynamic, Expr, FnPtr, ImmutableString, Position, Stmt};

use super::{Source, Unit, is_unresolved};
use crate::fault::Fault;
use crate::script::{codes, engine};

/// Methods of arrays, maps, text and blobs that change what they are called on.
const CHANGING: &[&str] = &[
    "append",
    "chop",
    "clear",
    "crop",
    "dedup",
    "drain",
    "fill_with",
    "insert",
    "make_lower",
    "make_upper",
    "mixin",
    "order",
    "order_by",
    "pad",
    "pop",
    "push",
    "remove",
    "replace",
    "retain",
    "reverse",
    "set",
    "shift",
    "sort",
    "sort_by",
    "sort_desc",
    "splice",
    "trim",
    "truncate",
    "write_ascii",
    "write_be",
    "write_le",
    "write_utf8",
];

/// The closures of a file that change what they captured: the closure's name, and for each change what and where.
#[derive(Debug, Default)]
pub(in crate::script) struct Changes(BTreeMap<String, Closure>);

#[derive(Debug, Default)]
struct Closure {
    /// What it is given: first what it captures.
    parameters: Vec<ImmutableString>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
struct Change {
    name: String,
    fault: Fault,
}

impl Changes {
    /// Finds every change of a captured variable in a file.
    pub(in crate::script) fn of(source: &Source<'_>) -> Self {
        let mut closures: BTreeMap<String, Closure> = BTreeMap::new();
        let mut inner: Vec<(String, String, String)> = Vec::new();
        for unit in source.units.iter().filter(|unit| unit.is_closure()) {
            let Some(function) = &unit.function else { continue };
            let found = Closure { parameters: function.params.to_vec(), changes: changed(source, unit) };
            closures.insert(function.name.to_string(), found);
            passed_on(unit, |closure, captured| inner.push((function.name.to_string(), closure, captured)));
        }
        // What an inner closure changes of what an outer one only passes on, the outer one changes too; once per level.
        for _ in 0..inner.len() {
            for (outer, closure, captured) in &inner {
                let found: Vec<_> = closures.get(closure).map_or(&[][..], |closure| &closure.changes).to_vec();
                let Some(outer) = closures.get_mut(outer) else { continue };
                for change in found.into_iter().filter(|change| change.name == *captured) {
                    if !outer.changes.contains(&change) {
                        outer.changes.push(change);
                    }
                }
            }
        }
        Self(closures)
    }

    /// Adds what was found in another file.
    pub(in crate::script) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the changes that a handler makes to what it captured, itself or through closures among that.
    pub(in crate::script) fn by(&self, pointer: &FnPtr) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.collect(pointer, &mut faults);
        faults
    }

    fn collect(&self, pointer: &FnPtr, faults: &mut Vec<Fault>) {
        if let Some(closure) = self.0.get(pointer.fn_name()) {
            for change in &closure.changes {
                let value = closure.parameters.iter().position(|name| *name == change.name.as_str());
                let value = value.and_then(|index| pointer.curry().get(index));
                // A handle on something that is kept elsewhere may well be written through.
                if value.is_some_and(|value| !engine::is_handle(value)) && !faults.contains(&change.fault) {
                    faults.push(change.fault.clone());
                }
            }
        }
        pointer.curry().iter().for_each(|value| self.within(value, faults));
    }

    /// Looks for closures inside a captured value.
    fn within(&self, value: &Dynamic, faults: &mut Vec<Fault>) {
        if let Some(pointer) = value.read_lock::<FnPtr>() {
            self.collect(&pointer, faults);
        } else if let Some(items) = value.read_lock::<rhai::Array>() {
            items.iter().for_each(|item| self.within(item, faults));
        } else if let Some(map) = value.read_lock::<rhai::Map>() {
            map.values().for_each(|item| self.within(item, faults));
        }
    }
}

fn changed(source: &Source<'_>, unit: &Unit) -> Vec<Change> {
    let mut changes = Vec::new();
    unit.visit(|path| {
        let target = match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => root(&assignment.1.lhs),
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if is_change(&dot.rhs) => root(&dot.lhs),
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)))
                if CHANGING.contains(&call.name.as_str()) =>
            {
                call.args.first().and_then(root)
            }
            _ => None,
        };
        let Some((name, position)) = target else { return };
        if name != "state" && unit.parameters().iter().any(|parameter| parameter == name) {
            let text = format!(
                "`{name}` is captured, and captured variables are constants: each run starts from a fresh copy"
            );
            let fault = source.fault(position, text).with_hint(format!("keep it in `state`: `state.{name}`"));
            let fault = fault.with_code(codes::LOST_ASSIGNMENT.code);
            changes.push(Change { name: name.to_owned(), fault });
        }
    });
    changes
}

/// Returns whether what stands behind a dot changes what stands before it.
fn is_change(behind: &Expr) -> bool {
    match behind {
        Expr::MethodCall(call, _) => CHANGING.contains(&call.name.as_str()),
        // `a.b.push(1)` is read as `a.(b.push(1))`; what a method returned is no part of `a` any more.
        Expr::Dot(both, ..) | Expr::Index(both, ..) => {
            is_change(&both.lhs) || (!matches!(both.lhs, Expr::MethodCall(..)) && is_change(&both.rhs))
        }
        _ => false,
    }
}

/// Returns the variable at the root of `a.b[c]`, if the code around it does not define it.
fn root(expression: &Expr) -> Option<(&str, Position)> {
    match expression {
        Expr::Dot(both, ..) | Expr::Index(both, ..) => root(&both.lhs),
        other => is_unresolved(other).map(|(name, position)| (name.as_str(), position)),
    }
}

/// Tells which closures a unit makes, and what of its own captures each of them captures.
fn passed_on(unit: &Unit, mut tell: impl FnMut(String, String)) {
    unit.visit(|path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, _))) = path.last() else { return };
        let [Expr::DynamicConstant(pointer, _), captured @ ..] = call.args.as_slice() else { return };
        let Some(pointer) = pointer.read_lock::<FnPtr>().filter(|_| call.name == "curry") else { return };
        for (name, _) in captured.iter().filter_map(is_unresolved) {
            tell(pointer.fn_name().to_owned(), name.to_string());
        }
    });
}
