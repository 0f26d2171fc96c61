//! Source positions of calls, their arguments and options.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Expr, FnCallExpr, FnPtr, Position, Stmt};

/// The argument positions of each call in a file, by the position of the call.
#[derive(Debug, Default)]
pub(super) struct CallPositions(BTreeMap<(usize, usize), ArgumentPositions>);

/// The positions of the arguments and options of one call.
#[derive(Debug, Default)]
pub(super) struct ArgumentPositions {
    starts: Vec<Position>,
    keys: Vec<(String, Position)>,
}

impl CallPositions {
    /// Collects the calls of functions with these names.
    pub(super) fn of(ast: &AST, is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut calls = Self::default();
        ast.walk(&mut |path| {
            let (call, position) = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    (call, position)
                }
                _ => return true,
            };
            if is_wanted(&call.name) {
                calls.0.insert(key(*position), ArgumentPositions::of(call));
            }
            true
        });
        calls
    }

    /// Returns the arguments of the call at a position.
    pub(super) fn at(&self, position: Position) -> Option<&ArgumentPositions> {
        self.0.get(&key(position))
    }
}

/// Returns the names of closures that are only used as the handler argument of a trigger, so that only triggers call them.
pub(super) fn inline_handlers(ast: &AST, is_trigger: impl Fn(&str) -> bool) -> BTreeSet<String> {
    if ast.iter_functions().any(|function| is_trigger(function.name)) {
        return BTreeSet::new();
    }
    let (mut handlers, mut others) = (BTreeSet::new(), BTreeSet::new());
    ast.walk(&mut |path| {
        let Some((ASTNode::Expr(Expr::DynamicConstant(value, _)), above)) = path.split_last() else { return true };
        let Some(closure) = value.read_lock::<FnPtr>() else { return true };
        let is_handler = above.iter().rev().find(|node| !is_closure_wrapper(node)).is_some_and(|user| match user {
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                !call.is_qualified() && is_trigger(&call.name)
            }
            _ => false,
        });
        (if is_handler { &mut handlers } else { &mut others }).insert(closure.fn_name().to_owned());
        true
    });
    &handlers - &others
}

/// Returns whether the parser generated this node around a capturing closure.
fn is_closure_wrapper(node: &ASTNode<'_>) -> bool {
    match node {
        ASTNode::Expr(Expr::FnCall(call, _)) => call.name == "curry",
        ASTNode::Expr(Expr::Stmt(_)) | ASTNode::Stmt(Stmt::Expr(_)) => true,
        _ => false,
    }
}

impl ArgumentPositions {
    fn of(call: &FnCallExpr) -> Self {
        let maps = call.args.iter().filter_map(|argument| match argument {
            Expr::Map(map, _) => Some(&map.0),
            _ => None,
        });
        Self {
            starts: call.args.iter().map(Expr::start_position).collect(),
            keys: maps.flatten().map(|(name, _)| (name.name.to_string(), name.pos)).collect(),
        }
    }

    /// Returns the start of an argument.
    pub(super) fn start(&self, index: usize) -> Option<Position> {
        self.starts.get(index).copied().filter(|position| !position.is_none())
    }

    /// Returns the position of an option name.
    pub(super) fn key(&self, option: &str) -> Option<Position> {
        self.keys.iter().find(|(name, _)| name == option).map(|(_, position)| *position)
    }
}

fn key(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}
