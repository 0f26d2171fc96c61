//! A handler: the function that a trigger calls, with its captured variables.

use std::collections::BTreeSet;

use rhai::{AST, Dynamic, Expr, FnPtr, ImmutableString, Module, ScriptFuncDef, Shared, Stmt, StmtBlock};

use super::captured::{deep_copy, is_shallow};
use super::read_fields::read_fields;
use crate::functions::events::ReadFields;
use crate::value::MAX_DEPTH;

/// A function that a trigger calls.
pub(super) struct Handler {
    pub code: Code,
    /// The captured variables by name. Each run gets a copy.
    pub captured: Vec<(ImmutableString, Dynamic)>,
    /// The name of the argument, if there is one.
    pub argument: Option<ImmutableString>,
    /// The fields of the argument that the code reads.
    pub read_fields: ReadFields,
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
        let argument = names.next();
        let is_function = |name: &str| {
            std::iter::once(ast.shared_lib()).chain(modules).any(|module| find_named(module, name).next().is_some())
        };
        let read_fields = match (&code, &argument) {
            (_, None) => ReadFields::Only { names: BTreeSet::new(), content: false },
            (Code::Own(body), Some(argument)) => read_fields(body, argument, is_function),
            (Code::Module(..), Some(_)) => ReadFields::All,
        };
        Ok(Self { code, captured, argument, read_fields })
    }
}

/// Finds a function with these captured variables and at most one argument.
fn find(module: &Module, name: &str, captures: usize) -> Option<Shared<ScriptFuncDef>> {
    let with = |arguments: usize| {
        find_named(module, name).find(|function| function.params.len() == captures + arguments).cloned()
    };
    with(1).or_else(|| with(0))
}

/// Returns the functions of a script or module with this name.
fn find_named<'a>(module: &'a Module, name: &'a str) -> impl Iterator<Item = &'a Shared<ScriptFuncDef>> {
    module.iter_script_fn_info().filter(move |(_, _, other, ..)| *other == name).map(|(.., function)| function)
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
