//! The tests that a file declares: listed, or one of them run.

use std::cell::RefCell;

use rhai::FnPtr;
use rhai::plugin::*;

use crate::fault::SourceLocation;
use crate::functions::{Thrown, thrown};

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What it promises.
    pub name: String,
    /// Where it is declared.
    pub place: SourceLocation,
}

/// What the calls of `test` are for.
pub enum TestSelection {
    /// They are to be listed.
    List(Vec<Test>),
    /// The one of this number is to be run; how many came before.
    Run(usize, usize),
}

thread_local! {
    static WISH: RefCell<Option<TestSelection>> = const { RefCell::new(None) };
}

/// Runs the top level of a file with tests, on this thread; returns what became of the wish beside its value.
pub fn declare<T>(wish: TestSelection, top_level: impl FnOnce() -> T) -> (T, TestSelection) {
    WISH.set(Some(wish));
    let value = top_level();
    (value, WISH.take().unwrap_or(TestSelection::List(Vec::new())))
}

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "declared", functions);
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Declares a test: what it promises, and how that shows. It has a world of its own: a clock that stands at the start of 2026 until it is
    /// turned, a broker, servers that answer what the test says, state and files that are forgotten. It fails if something it expects does
    /// not hold, or if a run fails and no `assert_fails` expects that.
    ///
    /// # Example
    /// ```rhai
    /// // In kitchen_test.rhai, beside kitchen.rhai.
    /// test("a fridge that is left open is told of", || {
    ///     load("kitchen");
    ///     publish("kitchen/fridge", "open");
    ///     advance("2m");
    ///     assert_published("kitchen/alarm", "close the fridge");
    /// });
    /// ```
    #[rhai_fn(name = "test", return_raw, volatile)]
    pub fn test(context: NativeCallContext<'_>, name: &str, body: FnPtr) -> Result<(), Thrown> {
        let is_wanted = WISH.with_borrow_mut(|wish| match wish {
            None => Err(thrown("nested", "a test can not stand in another one")),
            Some(TestSelection::List(tests)) => {
                let (position, file) = (context.call_position(), context.call_source().unwrap_or_default());
                let (line, column) = (position.line().unwrap_or_default(), position.position().unwrap_or_default());
                let place = SourceLocation { file: file.to_owned(), line, column };
                tests.push(Test { name: name.to_owned(), place });
                Ok(false)
            }
            Some(TestSelection::Run(wanted, before)) => {
                *before += 1;
                Ok(*before - 1 == *wanted)
            }
        })?;
        if is_wanted { body.call_within_context::<Dynamic>(&context, ()).map(|_| ()) } else { Ok(()) }
    }
}
