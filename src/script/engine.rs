//! The configured interpreter: registered functions, limits and disabled features.

use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, Module, OptimizationLevel, Shared};

use super::coverage::counter;
use super::resolver::Resolver;
use super::{declare, globals, guard, guarded_std};
use crate::config::Limits;
use crate::functions;

/// The deepest allowed nesting of expressions: at the top level, and inside functions.
const EXPRESSION_DEPTH: (usize, usize) = (64, 48);

/// Returns the interpreter for these limits. All scripts share one, because it holds no data of a script.
pub(super) fn shared(limits: &Limits) -> Arc<Engine> {
    static LAST: Mutex<Option<(usize, Arc<Engine>)>> = Mutex::new(None);
    let mut last = LAST.lock();
    match &*last {
        Some((call_depth, engine)) if *call_depth == limits.call_depth => engine.clone(),
        _ => last.insert((limits.call_depth, new(limits).into())).1.clone(),
    }
}

/// Returns a new interpreter with all functions and limits.
pub(super) fn new(limits: &Limits) -> Engine {
    static STANDARD: LazyLock<Shared<Module>> = LazyLock::new(|| StandardPackage::new().as_shared_module());
    let mut engine = Engine::new_raw();
    // The module registered last is searched first.
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
    engine.on_progress(|_| guard::on_operation().map(Dynamic::from));
    engine.on_print(functions::log::print);
    engine.on_debug(|text, _, _| functions::log::debug(text));
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.on_parse_token(|token, _, _| functions::state::token(token));
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.on_var(|name, index, mut context| Ok(globals::resolve(name, index, &mut context)));
    counter::install(&mut engine);
    engine
}

/// Returns a new interpreter with the functions of test files in addition.
pub(super) fn for_tests(limits: &Limits) -> Engine {
    let mut engine = new(limits);
    engine.register_global_module(functions::testing::module());
    engine
}
