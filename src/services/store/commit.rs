//! Encodes a batch on the caller's thread, so that the writer thread only executes statements.

use jiff::Timestamp;

use crate::event::TimerKey;
use crate::services::store::error::Error;
use crate::services::store::model::{Batch, EventDelivery, StateChange, Timer};
use crate::value::{MAX_DEPTH, Value};

/// Deepest nesting of lists and maps that is stored; the JSON parser that reads them back goes no deeper.
const MAX_STORED_DEPTH: usize = MAX_DEPTH - 1;

/// Batch of one run with its values in stored form.
///
/// Of one timer, acknowledgements apply first, then cancellations, then settings.
#[derive(Debug, Clone, Default)]
pub struct EncodedBatch {
    /// Changes of state, in order.
    pub state: Vec<StateWrite>,
    /// Timers to delete if they still have this deadline.
    pub acknowledged_timers: Vec<TimerKey>,
    /// Timers to delete: owner and name.
    pub timers_cancelled: Vec<(String, String)>,
    /// Timers to set; each replaces the one of the same owner and name.
    pub timers_set: Vec<TimerWrite>,
    /// Event deliveries to delete.
    pub acknowledged_events: Vec<u64>,
    /// Event deliveries to store.
    pub event_deliveries: Vec<EventDelivery>,
}

/// Change of one value of state.
#[derive(Debug, Clone)]
pub struct StateWrite {
    /// `script:NAME` or `shared:NAMESPACE`.
    pub namespace: String,
    /// The value's key.
    pub key: String,
    /// The change.
    pub change: EncodedChange,
}

/// Change of one value of state, encoded.
#[derive(Debug, Clone)]
pub enum EncodedChange {
    /// Sets the value.
    Set {
        /// The value, for the cache.
        value: Value,
        /// The same value as [`Value::to_stored_text`] writes it, for the database.
        text: String,
    },
    /// Adds to the stored value, by the rules of `sum`.
    Add(Value),
    /// Removes the value.
    Remove,
}

/// Timer with its data as stored text.
#[derive(Debug, Clone)]
pub struct TimerWrite {
    /// The script that sets it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Its deadline.
    pub due: Timestamp,
    /// Its data, as [`Value::to_stored_text`] writes it.
    pub data: String,
}

impl EncodedBatch {
    /// Encodes a batch.
    ///
    /// # Errors
    /// If a value nests too deeply to be read back.
    pub fn new(batch: &Batch) -> Result<Self, Error> {
        check_depth(batch)?;
        let state = batch.values.iter().map(|(namespace, key, change)| StateWrite {
            namespace: namespace.clone(),
            key: key.clone(),
            change: match change {
                StateChange::Set(value) => EncodedChange::Set { value: value.clone(), text: value.to_stored_text() },
                StateChange::Add(amount) => EncodedChange::Add(amount.clone()),
                StateChange::Remove => EncodedChange::Remove,
            },
        });
        let timer = |timer: &Timer| TimerWrite {
            owner: timer.owner.clone(),
            name: timer.name.clone(),
            due: timer.due,
            data: timer.data.to_stored_text(),
        };
        Ok(Self {
            state: state.collect(),
            acknowledged_timers: batch.acknowledged_timers.clone(),
            timers_cancelled: batch.timers_cancelled.clone(),
            timers_set: batch.timers_set.iter().map(timer).collect(),
            acknowledged_events: batch.acknowledged_events.clone(),
            event_deliveries: batch.event_deliveries.clone(),
        })
    }

    /// Returns whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
            && self.acknowledged_timers.is_empty()
            && self.timers_cancelled.is_empty()
            && self.timers_set.is_empty()
            && self.acknowledged_events.is_empty()
            && self.event_deliveries.is_empty()
    }
}

fn check_depth(batch: &Batch) -> Result<(), Error> {
    let set = batch.values.iter().filter_map(|(_, key, change)| match change {
        StateChange::Set(value) => Some((key, value)),
        StateChange::Add(_) | StateChange::Remove => None,
    });
    let timers = batch.timers_set.iter().map(|timer| (&timer.name, &timer.data));
    let events = batch.event_deliveries.iter().map(|event| (&event.name, &event.data));
    match set.chain(timers).chain(events).find(|(_, value)| depth(value) > MAX_STORED_DEPTH) {
        None => Ok(()),
        Some((key, _)) => {
            let text = format!("`{key}` is nested more than {MAX_STORED_DEPTH} levels deep: store a flatter value");
            Err(Error::Failed(text))
        }
    }
}

/// Returns how many levels of lists and maps the stored form has.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Map(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        Value::Bytes(_) | Value::Time(_) => 1,
        _ => 0,
    }
}

/// Returns the result of [`EncodedChange::Add`]: `amount` added to the stored value, of which [`Value::Null`] counts as 0.
///
/// # Errors
/// If one of them is not a number, or the sum overflows.
pub(super) fn sum(namespace: &str, key: &str, stored: &Value, amount: &Value) -> Result<Value, Error> {
    #[expect(clippy::cast_precision_loss, reason = "a sum with a fraction is a float, as in the scripts' language")]
    let sum = match (stored, amount) {
        (Value::Null, Value::Int(_) | Value::Float(_)) => Some(amount.clone()),
        (Value::Int(a), Value::Int(b)) => match a.checked_add(*b) {
            Some(sum) => Some(Value::Int(sum)),
            None => {
                return Err(Error::Failed(format!("adding {b} to `{key}` ({a}) exceeds the range of integers")));
            }
        },
        (Value::Int(a), Value::Float(b)) => Some(Value::Float(*a as f64 + b)),
        (Value::Float(a), Value::Int(b)) => Some(Value::Float(a + *b as f64)),
        (Value::Float(a), Value::Float(b)) => Some(Value::Float(a + b)),
        _ => None,
    };
    sum.ok_or_else(|| match amount {
        Value::Int(_) | Value::Float(_) => {
            let kind = stored.type_name();
            Error::Failed(format!("`{key}` of {namespace} is {kind}: it must be a number"))
        }
        _ => Error::Failed(format!("{} cannot be added to `{key}`: write a number", amount.type_name())),
    })
}
