//! A function that a trigger wakes, with what it captured.

use rhai::{AST, Dynamic, Expr, FnPtr, ImmutableString, Module, ScriptFuncDef, Shared, Stmt, StmtBlock};

use crate::value::{MAX_DEPTH, map_of};

/// A function that a trigger wakes.
pub(super) struct Handler {
    pub code: Code,
    /// What it captured, by name: copied afresh for every run.
    pub captured: Vec<(ImmutableString, Dynamic)>,
    /// What it calls its argument, if it takes one.
    pub argument: Option<ImmutableString>,
}

/// Where a handler's code is.
pub(super) enum Code {
    /// In the script itself.
    Own(Expr),
    /// In this module.
    Module(FnPtr, Shared<Module>),
}

impl Handler {
    /// Finds the code of a handler, in the script itself or in a module.
    pub(super) fn new(pointer: &FnPtr, ast: &AST, modules: &[Shared<Module>]) -> Result<Self, String> {
        if !pointer.curry().iter().all(is_shallow) {
            return Err(format!("what the handler captures nests deeper than {MAX_DEPTH} levels"));
        }
        let captures = pointer.curry().len();
        let own = find(ast.shared_lib(), pointer.fn_name(), captures);
        let from_module = || {
            modules.iter().find_map(|module| Some((find(module, pointer.fn_name(), captures)?, Some(module.clone()))))
        };
        let (function, module) = own.map(|function| (function, None)).or_else(from_module).ok_or_else(|| {
            let name = pointer.fn_name();
            if name.starts_with("anon$") {
                "the handler takes at most one argument: what woke it".to_owned()
            } else {
                format!("there is no function `{name}` that takes one argument or none")
            }
        })?;
        let mut names = function.params.iter().cloned();
        let captured = names.by_ref().take(captures).zip(pointer.curry().iter().map(fresh)).collect();
        let code = match module {
            None => Code::Own(body(&function)),
            Some(module) => Code::Module(FnPtr::from(function.clone()), module),
        };
        Ok(Self { code, captured, argument: names.next() })
    }
}

/// Finds a function that takes what was captured and one argument or none.
fn find(module: &Module, name: &str, captures: usize) -> Option<Shared<ScriptFuncDef>> {
    let with = |arguments: usize| {
        module
            .iter_script_fn_info()
            .find(|(_, _, other, count, _)| *other == name && *count == captures + arguments)
            .map(|(.., function)| function.clone())
    };
    with(1).or_else(|| with(0))
}

/// Returns a function's body as an expression that can be evaluated on its own.
fn body(function: &Shared<ScriptFuncDef>) -> Expr {
    let (start, end) = (function.body.start_position(), function.body.end_position());
    Expr::Stmt(StmtBlock::new(statements(function), start, end).into())
}

/// Returns the statements of a function's body.
pub(super) fn statements(function: &Shared<ScriptFuncDef>) -> Vec<Stmt> {
    let mut alone = Module::new();
    alone.set_script_fn(function.clone());
    let mut statements = Vec::new();
    AST::new_from_module(alone).walk(&mut |path| {
        if let [rhai::ASTNode::Stmt(statement)] = path {
            statements.push((*statement).clone());
        }
        true
    });
    statements
}

/// Returns a copy that shares nothing with the original, nor with what closures in it have captured.
pub(super) fn fresh(value: &Dynamic) -> Dynamic {
    let value = value.flatten_clone();
    if let Some(pointer) = value.read_lock::<FnPtr>() {
        let mut copy = pointer.clone();
        copy.set_curry(pointer.curry().iter().map(fresh).collect::<Vec<_>>());
        return copy.into();
    }
    if let Some(items) = value.read_lock::<rhai::Array>() {
        return items.iter().map(fresh).collect::<rhai::Array>().into();
    }
    if let Some(map) = value.read_lock::<rhai::Map>() {
        return map_of(map.iter().map(|(key, value)| (key.clone(), fresh(value)))).into();
    }
    value
}

/// Returns whether a value nests so little that it can be dropped on any thread.
pub(super) fn is_shallow(value: &Dynamic) -> bool {
    fn at(value: &Dynamic, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        if let Some(pointer) = value.read_lock::<FnPtr>() {
            return pointer.curry().iter().all(|value| at(value, depth + 1));
        }
        if let Some(items) = value.read_lock::<rhai::Array>() {
            return items.iter().all(|value| at(value, depth + 1));
        }
        value.read_lock::<rhai::Map>().is_none_or(|map| map.values().all(|value| at(value, depth + 1)))
    }
    at(value, 0)
}
