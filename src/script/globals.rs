//! Names that scripts can use without passing them: `state`, top-level constants and functions.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rhai::{
    AST, Dynamic, EvalContext, Expr, FnPtr, ImmutableString, Locked, Module, Namespace, Position, Shared, Stmt,
};

use super::captured::{is_handle, is_shallow};
use crate::functions;
use crate::value::MAX_DEPTH;

/// The top-level constants of a script, by name.
pub(super) type Constants = Shared<Locked<BTreeMap<ImmutableString, Dynamic>>>;

/// The variable that the inserted first statement of every script reads. Scripts cannot write this name.
const CONSTANTS_VARIABLE: &str = "#constants";

thread_local! {
    static LAST_CONSTANTS: RefCell<Option<Constants>> = const { RefCell::new(None) };
}

/// Takes the constants of the script whose top level ran last on this thread.
pub(super) fn take_constants() -> Option<Constants> {
    LAST_CONSTANTS.take()
}

/// Checks that any thread can drop the values that the top level leaves behind.
///
/// # Errors
/// A message with the name of the constant that nests too deeply.
pub(super) fn check_constants(constants: Option<&Constants>, module: &Module) -> Result<(), String> {
    let constants = constants.and_then(|constants| rhai::locked_read(constants));
    let constants = constants.iter().flat_map(|constants| constants.iter().map(|(name, value)| (name.as_str(), value)));
    match constants.chain(module.iter_var()).find(|(_, value)| !is_shallow(value)) {
        Some((name, _)) => Err(format!("the constant `{name}` nests deeper than {MAX_DEPTH} levels")),
        None => Ok(()),
    }
}

/// Returns a file with an inserted first statement that makes [`resolve`] store the top-level constants.
pub(super) fn with_constants(ast: &AST, functions: Shared<Module>) -> AST {
    let name = (None, CONSTANTS_VARIABLE.into(), Namespace::default(), 0);
    let first = Stmt::Expr(Expr::Variable(name.into(), None, Position::NONE).into());
    let statements = std::iter::once(first).chain(ast.statements().iter().cloned());
    AST::new_with_source(statements, functions, ast.source().unwrap_or_default())
}

/// Returns the value of `state` in scripts.
pub(super) fn state() -> Dynamic {
    functions::state::handle()
}

/// Resolves a variable that is not in scope: `state`, and inside functions top-level constants and functions.
pub(super) fn resolve(name: &str, index: usize, context: &mut EvalContext<'_, '_, '_, '_, '_, '_>) -> Option<Dynamic> {
    if index > 0 || context.scope().contains(name) {
        return None;
    }
    if name == "state" {
        return push_to_scope(context, name, state());
    }
    if name == CONSTANTS_VARIABLE {
        let constants = context.global_runtime_state_mut().constants.get_or_insert_default().clone();
        LAST_CONSTANTS.set(Some(constants));
        return Some(Dynamic::UNIT);
    }
    let global = context.global_runtime_state();
    let constants = global.constants.as_ref().and_then(|constants| rhai::locked_read(constants));
    if let Some(value) = constants.and_then(|constants| constants.get(name).cloned()) {
        return if is_handle(&value) { push_to_scope(context, name, value) } else { Some(value) };
    }
    let functions = global.lib.iter().rev().flat_map(|module| module.iter_script_fn_info());
    let function =
        functions.filter(|(_, _, other, ..)| *other == name).map(|(.., function)| function.clone()).next()?;
    Some(FnPtr::from(function).into())
}

/// Pushes a value to the scope instead of returning it: only then can scripts write through it.
fn push_to_scope(context: &mut EvalContext<'_, '_, '_, '_, '_, '_>, name: &str, value: Dynamic) -> Option<Dynamic> {
    context.scope_mut().push_dynamic(name.to_owned(), value);
    None
}
