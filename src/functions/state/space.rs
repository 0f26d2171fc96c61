//! Values that scripts store.

use std::sync::Arc;

use rhai::Dynamic;

use crate::functions::arguments::value;
use crate::functions::context::Context;
use crate::functions::convert::{to_dynamic, to_value};
use crate::functions::phase::{Phase, phase};
use crate::functions::thrown::{Thrown, thrown};
use crate::services::store::{self, MAX_KEY, StateChange};
use crate::value::Value;

/// The largest number of characters of a value in the run history.
const SHOWN: usize = 200;

/// Handle of a namespace of stored values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(pub(super) Namespace);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespace {
    /// That of the script that uses the handle.
    Own,
    /// One that all scripts share, by name.
    Shared(String),
}

/// Returns the value of the global variable `state`.
pub fn handle() -> Dynamic {
    Dynamic::from(State(Namespace::Own))
}

impl State {
    fn context(&self) -> Result<(Arc<Context>, String), Thrown> {
        match (phase(), &self.0) {
            (Phase::Running(context), Namespace::Own) => {
                let space = format!("script:{}", context.script);
                Ok((context, space))
            }
            (Phase::Running(context), Namespace::Shared(name)) => Ok((context, format!("shared:{name}"))),
            _ => Err(thrown(
                "top_level",
                "`state` cannot be used at the top level, which only declares triggers: use it in a handler, such as `on_start(|| { state.count = 0; })`",
            )),
        }
    }

    pub(super) fn read(&self, key: &str) -> Result<Option<Value>, Thrown> {
        let (context, space) = self.context()?;
        let change = {
            let batch = context.batch.lock();
            batch.values.iter().rev().find(|(s, k, _)| *s == space && k == key).map(|(_, _, change)| change.clone())
        };
        let stored = || context.stored_value(&space, key).map_err(store_error);
        match change {
            Some(StateChange::Set(value)) => Ok(Some(value)),
            Some(StateChange::Remove) => Ok(None),
            Some(StateChange::Add(number)) => sum(key, stored()?.as_ref(), &number).map(Some),
            None => stored(),
        }
    }

    /// Adds a change to the run's batch, which holds at most one change per key.
    pub(super) fn change(&self, key: &str, change: StateChange) -> Result<(), Thrown> {
        let (context, space) = self.context()?;
        if key.len() > MAX_KEY {
            return Err(thrown(
                "invalid_argument",
                format!("a key can have at most {MAX_KEY} bytes, not {}", key.len()),
            ));
        }
        context.record_deferred(
            if matches!(self.0, Namespace::Own) { "state" } else { "shared" },
            self.shown(key, &change),
        );
        let mut batch = context.batch.lock();
        let earlier = batch.values.iter_mut().rev().find(|(s, k, _)| *s == space && k == key);
        match earlier {
            Some((_, _, earlier)) => *earlier = change,
            None => batch.values.push((space, key.to_owned(), change)),
        }
        Ok(())
    }

    /// Returns a change as text for the run history.
    fn shown(&self, key: &str, change: &StateChange) -> String {
        let space = match &self.0 {
            Namespace::Own => String::new(),
            Namespace::Shared(name) => format!("{name}: "),
        };
        match change {
            StateChange::Set(value) => format!("{space}{key} = {}", value.preview(SHOWN)),
            StateChange::Add(number) => format!("{space}{key} + {}", number.preview(SHOWN)),
            StateChange::Remove => format!("{space}{key} removed"),
        }
    }

    /// Returns the pending change of this run to a key.
    fn pending(&self, key: &str) -> Result<Option<StateChange>, Thrown> {
        let (context, space) = self.context()?;
        let batch = context.batch.lock();
        Ok(batch.values.iter().rev().find(|(s, k, _)| *s == space && k == key).map(|(_, _, change)| change.clone()))
    }

    pub(super) fn set(&self, key: &str, dynamic: &Dynamic) -> Result<(), Thrown> {
        let new = to_value(dynamic).map_err(|why| thrown("invalid_argument", format!("state[{key:?}]: {why}")))?;
        // Rhai writes a value back after each method call, such as `state.list.len()`; equal values are not changes.
        if self.read(key)?.unwrap_or_default() == new {
            return Ok(());
        }
        self.change(key, if new == Value::Null { StateChange::Remove } else { StateChange::Set(new) })
    }

    pub(super) fn add(&self, key: &str, number: &Dynamic) -> Result<Dynamic, Thrown> {
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

    pub(super) fn keys(&self) -> Result<Vec<String>, Thrown> {
        let (context, space) = self.context()?;
        let mut keys = context.stored_keys(&space).map_err(store_error)?;
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

fn store_error(error: store::Error) -> Thrown {
    thrown("store", format!("cannot read the state: {error}"))
}

fn sum(key: &str, before: Option<&Value>, number: &Value) -> Result<Value, Thrown> {
    let not_a_number = |value: &Value| {
        thrown("invalid_argument", format!("state.add({key:?}, …) requires numbers, not {}", value.type_name()))
    };
    match (before.unwrap_or(&Value::Int(0)), number) {
        (Value::Int(a), Value::Int(b)) => {
            let total = a.checked_add(*b).ok_or_else(|| {
                thrown("invalid_argument", format!("state.add({key:?}, {b}): {a} + {b} exceeds the range of integers"))
            })?;
            Ok(Value::Int(total))
        }
        (Value::Float(a), Value::Float(b)) => Ok(Value::Float(a + b)),
        (Value::Int(a), Value::Float(b)) => Ok(Value::Float(*a as f64 + b)),
        (Value::Float(a), Value::Int(b)) => Ok(Value::Float(a + *b as f64)),
        (Value::Int(_) | Value::Float(_), other) | (other, _) => Err(not_a_number(other)),
    }
}
