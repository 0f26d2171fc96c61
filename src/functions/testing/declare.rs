//! Declaration of tests: lists the tests of a file, or runs one.

use std::cell::RefCell;

use rhai::FnPtr;
use rhai::plugin::*;

use crate::fault::SourceLocation;
use crate::functions::thrown::{Thrown, thrown};

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Name.
    pub name: String,
    /// Position of its declaration.
    pub place: SourceLocation,
}

/// Effect of the calls of `test`.
pub enum TestSelection {
    /// Lists the tests.
    List(Vec<Test>),
    /// Runs the test with this index; the second number counts the tests so far.
    Run(usize, usize),
}

thread_local! {
    static SELECTION: RefCell<Option<TestSelection>> = const { RefCell::new(None) };
}

/// Runs the top level of a test file on this thread; returns its value and the selection with the listed tests.
pub fn declare<T>(selection: TestSelection, top_level: impl FnOnce() -> T) -> (T, TestSelection) {
    SELECTION.set(Some(selection));
    let value = top_level();
    (value, SELECTION.take().unwrap_or(TestSelection::List(Vec::new())))
}

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "declare", functions);
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Declares a test with a name and a function. Each test runs in its own sandbox: a virtual clock that starts at the beginning of 2026, a
    /// mock broker, mock HTTP servers, and temporary state and files. The test fails if an assertion fails, or if a run fails and no
    /// `assert_fails` expects it.
    ///
    /// # Example
    /// ```rhai
    /// // In kitchen_test.rhai, next to kitchen.rhai.
    /// test("an open fridge raises an alarm after two minutes", || {
    ///     load("kitchen");
    ///     publish("kitchen/fridge", "open");
    ///     advance("2m");
    ///     assert_published("kitchen/alarm", "close the fridge");
    /// });
    /// ```
    #[rhai_fn(name = "test", return_raw, volatile)]
    pub fn test(context: NativeCallContext<'_>, name: &str, body: FnPtr) -> Result<(), Thrown> {
        let is_selected = SELECTION.with_borrow_mut(|selection| match selection {
            None => Err(thrown("nested", "a test cannot contain another test")),
            Some(TestSelection::List(tests)) => {
                let (position, file) = (context.call_position(), context.call_source().unwrap_or_default());
                let (line, column) = (position.line().unwrap_or_default(), position.position().unwrap_or_default());
                let place = SourceLocation { file: file.to_owned(), line, column };
                tests.push(Test { name: name.to_owned(), place });
                Ok(false)
            }
            Some(TestSelection::Run(index, count)) => {
                *count += 1;
                Ok(*count - 1 == *index)
            }
        })?;
        if is_selected { body.call_within_context::<Dynamic>(&context, ()).map(|_| ()) } else { Ok(()) }
    }
}
