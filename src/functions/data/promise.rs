//! Promises: what must be true for a script to go on.

use rhai::plugin::*;

use crate::functions::arguments::{shown, value};
use crate::functions::{Thrown, thrown};
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "promise", functions);
}

/// Returns whether two values are the same; whole numbers and others are compared as numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a, x), (b, y))| a == b && same(x, y))
        }
        _ => a == b,
    }
}

fn broken(message: &str) -> Thrown {
    thrown("assertion", message)
}

/// Returns a value as it is shown in a broken promise, in at most so many characters.
fn brief(any: &Dynamic) -> String {
    let text = if any.is_string() { format!("{:?}", shown(any)) } else { shown(any) };
    if text.chars().count() > 200 { text.chars().take(200).chain(['…']).collect() } else { text }
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Ends the script with a fault (`assertion`) unless the condition is true.
    ///
    /// # Example
    /// ```rhai
    /// assert(1 < 2);
    /// assert("attic".contains("tt"), "the room is misspelt");
    /// ```
    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert(condition: bool) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(broken("the condition is false")) }
    }

    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_message(condition: bool, message: Dynamic) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(broken(&shown(&message))) }
    }

    /// Ends the script with a fault (`assertion`) that shows both values, unless they are the same. Lists and maps are compared with all they hold.
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
        if same(&value(&actual)?, &value(&expected)?) {
            return Ok(());
        }
        Err(broken(&format!("{} is not {}", brief(&actual), brief(&expected))))
    }

    /// Ends the script with a fault (`assertion`) if two values are the same.
    ///
    /// # Example
    /// ```rhai
    /// assert_ne("on", "off");
    /// ```
    #[rhai_fn(name = "assert_ne", return_raw)]
    pub fn assert_ne(actual: Dynamic, other: Dynamic) -> Result<(), Thrown> {
        if same(&value(&actual)?, &value(&other)?) {
            return Err(broken(&format!("both are {}", brief(&actual))));
        }
        Ok(())
    }
}
