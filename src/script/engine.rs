//! The interpreter as every script gets it: its functions, its limits, and what was taken out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalContext, FnPtr, ImmutableString, Locked, Module, OptimizationLevel, Shared};

use super::handler::is_shallow;
use super::modules::Resolver;
use super::{coverage, declare, guard, guarded_std};
use crate::config::Limits;
use crate::functions;
use crate::value::MAX_DEPTH;

/// How deeply expressions may nest at the top level, and inside functions.
const EXPRESSION_DEPTH: (usize, usize) = (64, 48);

/// Returns the interpreter for these limits: all scripts share one, which knows none of them.
pub(super) fn shared(limits: &Limits) -> Arc<Engine> {
    static LAST: Mutex<Option<(usize, Arc<Engine>)>> = Mutex::new(None);
    let mut last = LAST.lock();
    match &*last {
        Some((call_depth, engine)) if *call_depth == limits.call_depth => engine.clone(),
        _ => last.insert((limits.call_depth, new(limits).into())).1.clone(),
    }
}

/// Returns an interpreter with every function and limit.
pub(super) fn new(limits: &Limits) -> Engine {
    static STANDARD: LazyLock<Shared<Module>> = LazyLock::new(|| StandardPackage::new().as_shared_module());
    let mut engine = Engine::new_raw();
    // The last one registered is asked first.
    engine.register_global_module(STANDARD.clone());
    engine.register_global_module(guarded_std::module());
    engine.register_global_module(functions::module());
    engine.register_global_module(declare::module());
    engine.disable_symbol("eval");
    engine.set_module_resolver(Resolver);
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_strings_interned(0);
    engine.set_max_expr_depths(EXPRESSION_DEPTH.0, EXPRESSION_DEPTH.1);
    engine.set_max_call_levels(limits.call_depth);
    engine.set_max_variables(1_024);
    engine.set_max_functions(1_024);
    engine.set_max_modules(256);
    engine.on_progress(|_| guard::step().map(Dynamic::from));
    engine.on_print(functions::log::print);
    engine.on_debug(|text, _, _| functions::log::debug(text));
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.on_parse_token(|token, _, _| functions::state::token(token));
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.on_var(|name, index, mut context| Ok(global(name, index, &mut context)));
    coverage::watch(&mut engine);
    engine
}

/// The top-level constants of a script, by name.
pub(super) type Constants = Shared<Locked<BTreeMap<ImmutableString, Dynamic>>>;

/// The name under which the first statement of every script asks for its constants; no script can write it.
pub(super) const CONSTANTS: &str = "#constants";

thread_local! {
    static FOUND: RefCell<Option<Constants>> = const { RefCell::new(None) };
}

/// Returns the constants of the script whose top level ran last on this thread.
pub(super) fn take_constants() -> Option<Constants> {
    FOUND.take()
}

/// Checks that what the top level leaves behind can be dropped on any thread.
///
/// # Errors
/// A sentence that names the constant that nests too deeply.
pub(super) fn check_constants(constants: Option<&Constants>, module: &Module) -> Result<(), String> {
    let constants = constants.and_then(|constants| rhai::locked_read(constants));
    let constants = constants.iter().flat_map(|constants| constants.iter().map(|(name, value)| (name.as_str(), value)));
    match constants.chain(module.iter_var()).find(|(_, value)| !is_shallow(value)) {
        Some((name, _)) => Err(format!("the constant `{name}` nests deeper than {MAX_DEPTH} levels")),
        None => Ok(()),
    }
}

/// Returns what scripts see as `state`.
pub(super) fn state() -> Dynamic {
    functions::state::handle()
}

/// Finds what is visible everywhere without being passed: `state`, and inside functions top-level constants and functions.
fn global(name: &str, index: usize, context: &mut EvalContext<'_, '_, '_, '_, '_, '_>) -> Option<Dynamic> {
    if index > 0 || context.scope().contains(name) {
        return None;
    }
    if name == "state" {
        return visible(context, name, state());
    }
    if name == CONSTANTS {
        let constants = context.global_runtime_state_mut().constants.get_or_insert_default().clone();
        FOUND.set(Some(constants));
        return Some(Dynamic::UNIT);
    }
    let global = context.global_runtime_state();
    let constants = global.constants.as_ref().and_then(|constants| rhai::locked_read(constants));
    if let Some(value) = constants.and_then(|constants| constants.get(name).cloned()) {
        return if is_handle(&value) { visible(context, name, value) } else { Some(value) };
    }
    let functions = global.lib.iter().rev().flat_map(|module| module.iter_script_fn_info());
    let function =
        functions.filter(|(_, _, other, ..)| *other == name).map(|(.., function)| function.clone()).next()?;
    Some(FnPtr::from(function).into())
}

/// Puts a value into the scope instead of answering with it: so it can be written through, as an answer can not.
fn visible(context: &mut EvalContext<'_, '_, '_, '_, '_, '_>, name: &str, value: Dynamic) -> Option<Dynamic> {
    context.scope_mut().push_dynamic(name.to_owned(), value);
    None
}

/// Returns whether a value stands for something that is kept elsewhere, rather than being data itself.
pub(super) fn is_handle(value: &Dynamic) -> bool {
    let value = value.flatten_clone();
    !(value.is_unit()
        || value.is_bool()
        || value.is_int()
        || value.is_float()
        || value.is_char()
        || value.is_string()
        || value.is_array()
        || value.is_map()
        || value.is_blob()
        || value.is_timestamp()
        || value.is_fnptr())
}
