//! The functions by which scripts declare triggers.

use std::cell::RefCell;
use std::sync::LazyLock;

use rhai::{Dynamic, FuncRegistration, Module, NativeCallContext, Shared};

use super::codes;
use super::collector::{Collector, DeclaringCall};
use super::kinds::kinds;
use crate::functions::{Phase, Thrown, phase, thrown};
use crate::triggers::Kind;

thread_local! {
    static COLLECTOR: RefCell<Option<Collector>> = const { RefCell::new(None) };
}

/// Runs the top level of a script and collects its declarations.
pub(super) fn collect<T>(collector: Collector, top_level: impl FnOnce() -> T) -> (T, Collector) {
    struct ResetOnDrop;
    impl Drop for ResetOnDrop {
        fn drop(&mut self) {
            COLLECTOR.set(None);
        }
    }
    COLLECTOR.set(Some(collector));
    let reset = ResetOnDrop;
    let value = top_level();
    let collected = COLLECTOR.take().expect("set above, and nothing else takes it");
    drop(reset);
    (value, collected)
}

/// Runs the top level of a module, which must not declare triggers.
pub(super) fn inside_module<T>(top_level: impl FnOnce() -> T) -> T {
    let add_depth = |change: isize| {
        COLLECTOR.with_borrow_mut(|collector| {
            if let Some(collector) = collector {
                collector.module_depth = collector.module_depth.saturating_add_signed(change);
            }
        });
    };
    add_depth(1);
    let value = top_level();
    add_depth(-1);
    value
}

/// Returns the functions that declare triggers, built once per process.
pub(super) fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        for kind in kinds() {
            register(kind, &mut module);
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// Registers a kind with 0 to 5 arguments, so that a call with a wrong number of arguments gets a helpful message.
fn register(kind: &'static Kind, module: &mut Module) {
    let new = || FuncRegistration::new(kind.name).in_global_namespace();
    type Context<'c> = NativeCallContext<'c>;
    type D = Dynamic;
    new().set_into_module(module, move |c: Context<'_>| declare(kind, &c, vec![]));
    new().set_into_module(module, move |c: Context<'_>, a: D| declare(kind, &c, vec![a]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D| declare(kind, &c, vec![a, b]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D| declare(kind, &c, vec![a, b, d]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D, e: D| declare(kind, &c, vec![a, b, d, e]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D, e: D, f: D| {
        declare(kind, &c, vec![a, b, d, e, f])
    });
}

fn declare(kind: &'static Kind, context: &NativeCallContext<'_>, arguments: Vec<Dynamic>) -> Result<(), Thrown> {
    let (file, position) = (context.call_source().unwrap_or_default(), context.call_position());
    COLLECTOR.with_borrow_mut(|collector| {
        let Some(collector) = collector else {
            let instead = match phase() {
                Phase::Running(_) => "declare triggers at the top level of a script, not while it runs",
                _ => "a job cannot declare triggers: bind it in rhaid.yaml, under `triggers:`",
            };
            return Err(thrown("declaration", format!("`{}` cannot be called here: {instead}", kind.name)));
        };
        if collector.module_depth > 0 {
            let text = format!("a module cannot declare triggers: call `{}` in the script that imports it", kind.name);
            return Err(thrown("declaration", text));
        }
        if let Err(fault) = collector.declare(&DeclaringCall { kind, file, position }, arguments) {
            collector.faults.push(fault.with_code(codes::DECLARATION.code));
        }
        Ok(())
    })
}
