//! The calls of a file as they were written: where each argument and each option stands.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

/// The calls of a file, by their position.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<(usize, usize), Arguments>);

/// Where the arguments of one call stand.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    starts: Vec<Position>,
    keys: Vec<(String, Position)>,
}

impl Calls {
    /// Collects the calls of functions with these names.
    pub(super) fn of(ast: &AST, wanted: impl Fn(&str) -> bool) -> Self {
        let mut calls = Self::default();
        ast.walk(&mut |path| {
            let (call, position) = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    (call, position)
                }
                _ => return true,
            };
            if wanted(&call.name) {
                calls.0.insert(key(*position), Arguments::of(call));
            }
            true
        });
        calls
    }

    /// Returns the arguments of the call at a position.
    pub(super) fn at(&self, position: Position) -> Option<&Arguments> {
        self.0.get(&key(position))
    }
}

impl Arguments {
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

    /// Returns where an argument starts.
    pub(super) fn start(&self, index: usize) -> Option<Position> {
        self.starts.get(index).copied().filter(|position| !position.is_none())
    }

    /// Returns where the name of an option stands.
    pub(super) fn key(&self, option: &str) -> Option<Position> {
        self.keys.iter().find(|(name, _)| name == option).map(|(_, position)| *position)
    }
}

fn key(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}
