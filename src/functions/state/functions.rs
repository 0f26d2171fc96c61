//! `shared`, and the methods of `state`.

use rhai::plugin::*;

use crate::functions::convert::to_dynamic;
use crate::functions::state::space::{Namespace, State};
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::services::store::{MAX_KEY, StateChange};

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<State>("State");
    combine_with_exported_module!(module, "state", functions);
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Returns a namespace of values that all scripts share. Use it like `state`.
    ///
    /// # Example
    /// ```rhai
    /// let home = shared("home");
    /// home.guests = 3;
    /// assert_eq(shared("home").guests, 3);
    /// ```
    #[rhai_fn(name = "shared", return_raw)]
    pub fn shared(namespace: &str) -> Result<State, Thrown> {
        if namespace.is_empty() || namespace.len() > MAX_KEY {
            return Err(invalid_argument(format!("a namespace has 1 to {MAX_KEY} bytes, not {}", namespace.len())));
        }
        Ok(State(Namespace::Shared(namespace.to_owned())))
    }

    /// Returns a stored value, or `()` if there is none. `state.name` does the same.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(state["attic"], ());
    /// state.attic = #{ celsius: 21.5, history: [20.0] };
    /// state.attic.history.push(21.5);
    /// assert_eq(state["attic"].history.len(), 2);
    /// ```
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get(state: &mut State, key: &str) -> Result<Dynamic, Thrown> {
        state.read(key).map(|value| value.map_or(Dynamic::UNIT, to_dynamic))
    }

    /// Stores a value: text, numbers, booleans, datetimes, blobs, and arrays and maps of them. `()` removes the key. `state.name = value`
    /// does the same.
    ///
    /// # Example
    /// ```rhai
    /// state["last seen"] = "2026-03-01";
    /// state["last seen"] = ();
    /// assert(!state.contains("last seen"));
    /// ```
    #[rhai_fn(index_set, pure, return_raw)]
    pub fn set(state: &mut State, key: &str, value: Dynamic) -> Result<(), Thrown> {
        state.set(key, &value)
    }

    /// Returns whether a key has a stored value.
    ///
    /// # Example
    /// ```rhai
    /// state.count = 1;
    /// assert(state.contains("count"));
    /// assert("count" in state);
    /// ```
    #[rhai_fn(name = "contains", pure, return_raw)]
    pub fn contains(state: &mut State, key: &str) -> Result<bool, Thrown> {
        state.read(key).map(|value| value.is_some())
    }

    /// Removes a key and returns its value, or `()` if there was none.
    ///
    /// # Example
    /// ```rhai
    /// state.alarm = "freezer";
    /// assert_eq(state.remove("alarm"), "freezer");
    /// assert_eq(state.alarm, ());
    /// ```
    #[rhai_fn(name = "remove", pure, return_raw)]
    pub fn remove(state: &mut State, key: &str) -> Result<Dynamic, Thrown> {
        let Some(before) = state.read(key)? else { return Ok(Dynamic::UNIT) };
        state.change(key, StateChange::Remove)?;
        Ok(to_dynamic(before))
    }

    /// Returns all keys, in alphabetical order.
    ///
    /// # Example
    /// ```rhai
    /// state.b = 2;
    /// state.a = 1;
    /// assert_eq(state.keys(), ["a", "b"]);
    /// ```
    #[rhai_fn(name = "keys", pure, return_raw)]
    pub fn keys(state: &mut State) -> Result<rhai::Array, Thrown> {
        Ok(state.keys()?.into_iter().map(Dynamic::from).collect())
    }

    /// Returns the number of stored values.
    ///
    /// # Example
    /// ```rhai
    /// state.a = 1;
    /// assert_eq(state.len(), 1);
    /// ```
    #[rhai_fn(name = "len", pure, return_raw)]
    pub fn len(state: &mut State) -> Result<i64, Thrown> {
        state.keys().map(|keys| keys.len() as i64)
    }

    /// Removes all values.
    ///
    /// # Example
    /// ```rhai
    /// state.a = 1;
    /// state.clear();
    /// assert_eq(state.len(), 0);
    /// ```
    #[rhai_fn(name = "clear", pure, return_raw)]
    pub fn clear(state: &mut State) -> Result<(), Thrown> {
        state.keys()?.iter().try_for_each(|key| state.change(key, StateChange::Remove))
    }

    /// Adds to a stored number (0 if there is none), and returns the sum as seen by this run.
    ///
    /// Unlike `state.n = state.n + 1`, no addition is lost when another run adds at the same time.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(state.add("rings", 1), 1);
    /// assert_eq(state.add("rings", 2), 3);
    /// assert_eq(state.rings, 3);
    /// ```
    #[rhai_fn(name = "add", pure, return_raw)]
    pub fn add(state: &mut State, key: &str, number: Dynamic) -> Result<Dynamic, Thrown> {
        state.add(key, &number)
    }
}
