//! Assertions.

use rhai::plugin::*;

use crate::functions::arguments::{shown, value};
use crate::functions::thrown::{Thrown, thrown};
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "assertions", functions);
}

/// Returns whether two values are equal. Integers and floats are compared as numbers.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a, x), (b, y))| a == b && is_equal(x, y))
        }
        _ => a == b,
    }
}

fn assertion_failed(message: &str) -> Thrown {
    thrown("assertion", message)
}

/// Returns a value as text of at most 200 characters, for an error message.
fn brief(any: &Dynamic) -> String {
    let text = if any.is_string() { format!("{:?}", shown(any)) } else { shown(any) };
    if text.chars().count() > 200 { text.chars().take(200).chain(['…']).collect() } else { text }
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Throws `assertion` unless the condition is true.
    ///
    /// # Example
    /// ```rhai
    /// assert(1 < 2);
    /// assert("attic".contains("tt"), "the room name is wrong");
    /// ```
    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert(condition: bool) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(assertion_failed("the condition is false")) }
    }

    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_message(condition: bool, message: Dynamic) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(assertion_failed(&shown(&message))) }
    }

    /// Throws `assertion` with both values, unless they are equal. Arrays and maps are compared by their content.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq([1, #{ a: 2 }], [1, #{ a: 2.0 }]);
    /// let message = "";
    /// try { assert_eq(1, 2); } catch (err) { message = err.message; }
    /// assert_eq(message, "1 is not 2");
    /// ```
    #[rhai_fn(name = "assert_eq", return_raw)]
    pub fn assert_eq(actual: Dynamic, expected: Dynamic) -> Result<(), Thrown> {
        if is_equal(&value(&actual)?, &value(&expected)?) {
            return Ok(());
        }
        Err(assertion_failed(&format!("{} is not {}", brief(&actual), brief(&expected))))
    }

    /// Throws `assertion` if two values are equal.
    ///
    /// # Example
    /// ```rhai
    /// assert_ne("on", "off");
    /// ```
    #[rhai_fn(name = "assert_ne", return_raw)]
    pub fn assert_ne(actual: Dynamic, other: Dynamic) -> Result<(), Thrown> {
        if is_equal(&value(&actual)?, &value(&other)?) {
            return Err(assertion_failed(&format!("both are {}", brief(&actual))));
        }
        Ok(())
    }
}
