//! Replaces standard functions that a script could hang or break the process with.

use std::sync::LazyLock;

use rhai::{FuncRegistration, Module, Shared};

/// Returns the replacements, built once per process.
pub(super) fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        FuncRegistration::new("__none").in_global_namespace().set_into_module(&mut module, || ());
        module.build_index();
        module.into()
    });
    MODULE.clone()
}
