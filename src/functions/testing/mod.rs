//! Functions that only tests can call: they drive scripts in a sandbox and check the results.

mod actions;
mod assertions;
mod compare;
mod current;
mod declare;
mod mock_http;
mod records;
mod sandbox;
pub(super) mod test_run;
mod url_pattern;

use std::sync::LazyLock;

use rhai::{Module, Shared};

pub use self::declare::{Test, TestSelection, declare};
pub use self::sandbox::{MockResponse, SandboxApi};
pub use self::test_run::TestRun;
pub use self::url_pattern::url_matcher;
use crate::functions::package::Package;

/// Functions of tests. Not in `PACKAGES`, because scripts cannot call them.
pub const TESTS: Package = Package {
    name: "Tests",
    docs: "Functions that only files whose names end with `_test.rhai` can call. `rhaid test` runs these files.",
    register: |module| {
        declare::register(module);
        actions::register(module);
        mock_http::register(module);
        assertions::register(module);
        records::register(module);
    },
};

/// Returns a module with the functions of tests.
pub fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        (TESTS.register)(&mut module);
        module.build_index();
        module.into()
    });
    MODULE.clone()
}
