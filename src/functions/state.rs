//! What a script remembers: `state`, and the same between scripts.

use std::sync::Arc;

use rhai::Token;
use rhai::plugin::*;

use crate::functions::arguments::value;
use crate::functions::convert::{to_dynamic, to_value};
use crate::functions::{Context, Package, Phase, Thrown, phase, thrown};
use crate::services::store::{self, MAX_KEY, StateChange};
use crate::value::Value;

/// What a script remembers.
pub const STATE: Package = Package {
    name: "State",
    docs: "What a script remembers over runs, reloads and restarts. What a run changes takes effect when it ends well, all together, and not at all when it fails.",
    register: |module| {
        module.set_custom_type::<State>("State");
        combine_with_exported_module!(module, "state", functions);
    },
};

/// How many characters of a value the ledger keeps.
const SHOWN: usize = 200;

/// A space of remembered values, by name; holds none itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Space);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Space {
    /// The script's own: whose that is shows when it is used.
    Own,
    /// One that all scripts share.
    Shared(String),
}

/// Returns what scripts know as `state`: the values of the script that uses it.
pub fn handle() -> Dynamic {
    Dynamic::from(State(Space::Own))
}

/// Lets scripts call `shared` and write `#{ public: true }`: words that Rhai keeps for itself without a use for them.
pub fn token(token: Token) -> Token {
    match token {
        Token::Reserved(word) if matches!(word.as_str(), "shared" | "public") => Token::Identifier(word),
        other => other,
    }
}

impl State {
    fn context(&self) -> Result<(Arc<Context>, String), Thrown> {
        match (phase(), &self.0) {
            (Phase::Running(context), Space::Own) => {
                let space = format!("script:{}", context.script);
                Ok((context, space))
            }
            (Phase::Running(context), Space::Shared(name)) => Ok((context, format!("shared:{name}"))),
            _ => Err(thrown(
                "top_level",
                "`state` can not be used at the top level, which only declares: use it in a handler, such as `on_start(|| { state.count = 0; })`",
            )),
        }
    }

    fn read(&self, key: &str) -> Result<Option<Value>, Thrown> {
        let (context, space) = self.context()?;
        let change = {
            let batch = context.batch.lock();
            batch.values.iter().rev().find(|(s, k, _)| *s == space && k == key).map(|(_, _, change)| change.clone())
        };
        let stored = || context.services.store.value(&space, key).map_err(unreadable);
        match change {
            Some(StateChange::Set(value)) => Ok(Some(value)),
            Some(StateChange::Remove) => Ok(None),
            Some(StateChange::Add(number)) => sum(key, stored()?.as_ref(), &number).map(Some),
            None => stored(),
        }
    }

    /// Notes a change in the run's batch, which holds at most one change per key.
    fn change(&self, key: &str, change: StateChange) -> Result<(), Thrown> {
        let (context, space) = self.context()?;
        if key.len() > MAX_KEY {
            return Err(thrown("invalid_argument", format!("a key has at most {MAX_KEY} bytes, not {}", key.len())));
        }
        context.holds(if matches!(self.0, Space::Own) { "state" } else { "shared" }, self.shown(key, &change));
        let mut batch = context.batch.lock();
        let earlier = batch.values.iter_mut().rev().find(|(s, k, _)| *s == space && k == key);
        match earlier {
            Some((_, _, earlier)) => *earlier = change,
            None => batch.values.push((space, key.to_owned(), change)),
        }
        Ok(())
    }

    /// Returns what the ledger keeps of a change.
    fn shown(&self, key: &str, change: &StateChange) -> String {
        let space = match &self.0 {
            Space::Own => String::new(),
            Space::Shared(name) => format!("{name}: "),
        };
        match change {
            StateChange::Set(value) => format!("{space}{key} = {}", value.preview(SHOWN)),
            StateChange::Add(number) => format!("{space}{key} + {}", number.preview(SHOWN)),
            StateChange::Remove => format!("{space}{key} removed"),
        }
    }

    /// Returns what the run itself has asked to be added to a value, if that is all it did to it.
    fn pending(&self, key: &str) -> Result<Option<StateChange>, Thrown> {
        let (context, space) = self.context()?;
        let batch = context.batch.lock();
        Ok(batch.values.iter().rev().find(|(s, k, _)| *s == space && k == key).map(|(_, _, change)| change.clone()))
    }

    fn set(&self, key: &str, dynamic: &Dynamic) -> Result<(), Thrown> {
        let new = to_value(dynamic).map_err(|why| thrown("invalid_argument", format!("state[{key:?}]: {why}")))?;
        // Rhai writes back what a method may have changed, such as `state.list.len()`: what is as it was is no change.
        if self.read(key)?.unwrap_or_default() == new {
            return Ok(());
        }
        self.change(key, if new == Value::Null { StateChange::Remove } else { StateChange::Set(new) })
    }

    fn add(&self, key: &str, number: &Dynamic) -> Result<Dynamic, Thrown> {
        let number = value(number)?;
        let total = sum(key, self.read(key)?.as_ref(), &number)?;
        let change = match self.pending(key)? {
            Some(StateChange::Set(_) | StateChange::Remove) => StateChange::Set(total.clone()),
            Some(StateChange::Add(before)) => StateChange::Add(sum(key, Some(&before), &number)?),
            None => StateChange::Add(number),
        };
        self.change(key, change)?;
        Ok(to_dynamic(total))
    }

    fn keys(&self) -> Result<Vec<String>, Thrown> {
        let (context, space) = self.context()?;
        let mut keys: std::collections::BTreeSet<_> =
            context.services.store.keys(&space).map_err(unreadable)?.into_iter().collect();
        let batch = context.batch.lock();
        for (_, key, change) in batch.values.iter().filter(|(s, _, _)| *s == space) {
            match change {
                StateChange::Remove => drop(keys.remove(key)),
                StateChange::Set(_) | StateChange::Add(_) => drop(keys.insert(key.clone())),
            }
        }
        Ok(keys.into_iter().collect())
    }
}

fn unreadable(error: store::Error) -> Thrown {
    thrown("store", format!("the state can not be read: {error}"))
}

fn sum(key: &str, before: Option<&Value>, number: &Value) -> Result<Value, Thrown> {
    let wrong = |what: &Value| {
        thrown("invalid_argument", format!("state.add({key:?}, …) wants numbers, but found {}", what.type_name()))
    };
    match (before.unwrap_or(&Value::Int(0)), number) {
        (Value::Int(a), Value::Int(b)) => {
            let total = a.checked_add(*b).ok_or_else(|| {
                thrown(
                    "invalid_argument",
                    format!("state.add({key:?}, {b}): {a} + {b} is too large for a whole number"),
                )
            })?;
            Ok(Value::Int(total))
        }
        (Value::Float(a), Value::Float(b)) => Ok(Value::Float(a + b)),
        (Value::Int(a), Value::Float(b)) => Ok(Value::Float(*a as f64 + b)),
        (Value::Float(a), Value::Int(b)) => Ok(Value::Float(a + *b as f64)),
        (Value::Int(_) | Value::Float(_), other) | (other, _) => Err(wrong(other)),
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the macro wants public functions, and unwraps receivers that it has checked"
)]
mod functions {
    /// Returns the values that all scripts share under a name; they are used like `state`.
    ///
    /// # Example
    /// ```rhai
    /// let house = shared("house");
    /// house.guests = 3;
    /// assert_eq(shared("house").guests, 3);
    /// ```
    #[rhai_fn(name = "shared", return_raw)]
    pub fn shared(namespace: &str) -> Result<State, Thrown> {
        if namespace.is_empty() || namespace.len() > MAX_KEY {
            return Err(thrown(
                "invalid_argument",
                format!("a namespace has 1 to {MAX_KEY} bytes, not {}", namespace.len()),
            ));
        }
        Ok(State(Space::Shared(namespace.to_owned())))
    }

    /// Reads a remembered value; `()` if there is none. `state.name` is the same.
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

    /// Remembers a value: text, numbers, times, blobs, and lists and maps of them. `()` forgets it. `state.name = value` is the same.
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

    /// Returns whether a value is remembered under a key.
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

    /// Forgets a value and returns it; `()` if there was none.
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

    /// Returns how many values are remembered.
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

    /// Forgets all values.
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

    /// Adds to a remembered number, 0 if there is none, and returns the sum as this run sees it.
    ///
    /// Unlike `state.n = state.n + 1` it loses nothing when another run adds at the same time.
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
