//! A handler: the function that a trigger calls, with its captured variables.

use rhai::{AST, Dynamic, Expr, FnPtr, ImmutableString, Module, ScriptFuncDef, Shared, Stmt, StmtBlock};

use super::captured::{deep_copy, is_shallow};
use crate::value::MAX_DEPTH;

/// A function that a trigger calls.
pub(super) struct Handler {
    pub code: Code,
    /// The captured variables by name. Each run gets a copy.
    pub captured: Vec<(ImmutableString, Dynamic)>,
    /// The name of the argument, if there is one.
    pub argument: Option<ImmutableString>,
}

/// The location of the code of a handler.
pub(super) enum Code {
    /// In the script itself.
    Own(Expr),
    /// In this module.
    Module(FnPtr, Shared<Module>),
}

impl Handler {
    /// Finds the code of a handler in the script or in a module.
    ///
    /// # Errors
    /// A message if the function has more than one argument, does not exist, or captures a value that nests too deeply.
    pub(super) fn new(pointer: &FnPtr, ast: &AST, modules: &[Shared<Module>]) -> Result<Self, String> {
        if !pointer.curry().iter().all(is_shallow) {
            return Err(format!("a value that the handler captures nests deeper than {MAX_DEPTH} levels"));
        }
        let captures = pointer.curry().len();
        let own = find(ast.shared_lib(), pointer.fn_name(), captures);
        let from_module = || {
            modules.iter().find_map(|module| Some((find(module, pointer.fn_name(), captures)?, Some(module.clone()))))
        };
        let (function, module) = own.map(|function| (function, None)).or_else(from_module).ok_or_else(|| {
            let name = pointer.fn_name();
            if name.starts_with("anon$") {
                "the handler takes at most one argument, the event".to_owned()
            } else {
                format!("no function `{name}` takes at most one argument")
            }
        })?;
        let mut names = function.params.iter().cloned();
        let captured = names.by_ref().take(captures).zip(pointer.curry().iter().map(deep_copy)).collect();
        let code = match module {
            None => Code::Own(body(&function)),
            Some(module) => Code::Module(FnPtr::from(function.clone()), module),
        };
        Ok(Self { code, captured, argument: names.next() })
    }
}

/// Finds a function with these captured variables and at most one argument.
fn find(module: &Module, name: &str, captures: usize) -> Option<Shared<ScriptFuncDef>> {
    let with = |arguments: usize| {
        module
            .iter_script_fn_info()
            .find(|(_, _, other, count, _)| *other == name && *count == captures + arguments)
            .map(|(.., function)| function.clone())
    };
    with(1).or_else(|| with(0))
}

/// Returns the body of a function as a separate expression.
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
