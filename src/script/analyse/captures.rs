//! Finds assignments to captured variables, which are lost when the run ends.

use std::collections::BTreeMap;

use rhai::{ASTNode, Dynamic, Expr, FnPtr, ImmutableString, Position, Stmt};

use super::compiled_file::{CompiledFile, Unit, unresolved};
use crate::fault::Fault;
use crate::script::captured::is_handle;
use crate::script::codes;

/// Methods of arrays, maps, text and blobs that modify their receiver.
const MUTATING_METHODS: &[&str] = &[
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

/// The changes that the closures of a file make to captured variables, by closure.
#[derive(Debug, Default)]
pub(in crate::script) struct CapturedChanges(BTreeMap<String, ClosureChanges>);

#[derive(Debug, Default)]
struct ClosureChanges {
    /// The parameters, captured variables first.
    parameters: Vec<ImmutableString>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
struct Change {
    name: String,
    fault: Fault,
}

impl CapturedChanges {
    /// Finds all changes of captured variables in a file.
    pub(in crate::script) fn of(file: &CompiledFile<'_>) -> Self {
        let mut closures: BTreeMap<String, ClosureChanges> = BTreeMap::new();
        let mut inner: Vec<(String, String, String)> = Vec::new();
        for unit in file.units.iter().filter(|unit| unit.is_closure()) {
            let Some(function) = &unit.function else { continue };
            let changes = ClosureChanges { parameters: function.params.to_vec(), changes: changes(file, unit) };
            closures.insert(function.name.to_string(), changes);
            inner.extend(
                inner_captures(unit)
                    .into_iter()
                    .map(|(closure, captured)| (function.name.to_string(), closure, captured)),
            );
        }
        // A change by an inner closure of a variable that the outer closure captures counts for the outer one, too. One pass per level.
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

    /// Adds the changes of another file.
    pub(in crate::script) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the changes that a handler makes to captured variables, directly or through captured closures.
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
                // Writing through a handle is not lost.
                if value.is_some_and(|value| !is_handle(value)) && !faults.contains(&change.fault) {
                    faults.push(change.fault.clone());
                }
            }
        }
        pointer.curry().iter().for_each(|value| self.collect_nested(value, faults));
    }

    /// Collects the changes of closures inside a captured value.
    fn collect_nested(&self, value: &Dynamic, faults: &mut Vec<Fault>) {
        if let Some(pointer) = value.read_lock::<FnPtr>() {
            self.collect(&pointer, faults);
        } else if let Some(items) = value.read_lock::<rhai::Array>() {
            items.iter().for_each(|item| self.collect_nested(item, faults));
        } else if let Some(map) = value.read_lock::<rhai::Map>() {
            map.values().for_each(|item| self.collect_nested(item, faults));
        }
    }
}

fn changes(file: &CompiledFile<'_>, unit: &Unit) -> Vec<Change> {
    let mut changes = Vec::new();
    unit.visit(|path| {
        let target = match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => root(&assignment.1.lhs),
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if is_mutation(&dot.rhs) => root(&dot.lhs),
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)))
                if MUTATING_METHODS.contains(&call.name.as_str()) =>
            {
                call.args.first().and_then(root)
            }
            _ => None,
        };
        let Some((name, position)) = target else { return };
        if name != "state" && unit.parameters().iter().any(|parameter| parameter == name) {
            let text =
                format!("`{name}` is captured, and captured variables are constants: each run starts with a copy");
            let fault = file.fault(position, text).with_hint(format!("keep it in `state`: `state.{name}`"));
            let fault = fault.with_code(codes::LOST_ASSIGNMENT.code);
            changes.push(Change { name: name.to_owned(), fault });
        }
    });
    changes
}

/// Returns whether the expression after a dot modifies the value before the dot.
fn is_mutation(member: &Expr) -> bool {
    match member {
        Expr::MethodCall(call, _) => MUTATING_METHODS.contains(&call.name.as_str()),
        // `a.b.push(1)` is parsed as `a.(b.push(1))`. The return value of a method is not part of `a`.
        Expr::Dot(both, ..) | Expr::Index(both, ..) => {
            is_mutation(&both.lhs) || (!matches!(both.lhs, Expr::MethodCall(..)) && is_mutation(&both.rhs))
        }
        _ => false,
    }
}

/// Returns the variable at the root of `a.b[c]`, unless the enclosing code defines it.
fn root(expression: &Expr) -> Option<(&str, Position)> {
    match expression {
        Expr::Dot(both, ..) | Expr::Index(both, ..) => root(&both.lhs),
        other => unresolved(other).map(|(name, position)| (name.as_str(), position)),
    }
}

/// Returns the closures that a unit creates, with each captured variable.
fn inner_captures(unit: &Unit) -> Vec<(String, String)> {
    let mut captures = Vec::new();
    unit.visit(|path| {
        let Some(ASTNode::Expr(Expr::FnCall(call, _))) = path.last() else { return };
        let [Expr::DynamicConstant(pointer, _), captured @ ..] = call.args.as_slice() else { return };
        let Some(pointer) = pointer.read_lock::<FnPtr>().filter(|_| call.name == "curry") else { return };
        let names = captured.iter().filter_map(unresolved).map(|(name, _)| name.to_string());
        captures.extend(names.map(|name| (pointer.fn_name().to_owned(), name)));
    });
    captures
}
