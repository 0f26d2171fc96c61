//! Changes of state by runs that have returned and are not committed yet.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::services::store::commit::sum;
use crate::services::store::error::Error;
use crate::services::store::model::{Batch, StateChange};
use crate::value::Value;

/// Values that differ from the store, by namespace and key; `None` if the value is removed.
#[derive(Debug, Default)]
pub struct UncommittedState(Mutex<BTreeMap<String, BTreeMap<String, Option<Value>>>>);

impl UncommittedState {
    /// Returns a changed value; `None` if the store has it.
    pub fn value(&self, namespace: &str, key: &str) -> Option<Option<Value>> {
        self.0.lock().get(namespace)?.get(key).cloned()
    }

    /// Returns the changed keys of a namespace, and whether each has a value.
    pub fn keys(&self, namespace: &str) -> Vec<(String, bool)> {
        let changed = self.0.lock();
        let values = changed.get(namespace).into_iter().flatten();
        values.map(|(key, value)| (key.clone(), value.is_some())).collect()
    }

    /// Applies the changes of a batch; `stored` returns a value of the store.
    ///
    /// # Errors
    /// Those of `stored`, and if an amount cannot be added.
    pub fn apply(
        &self,
        batch: &Batch,
        stored: impl Fn(&str, &str) -> Result<Option<Value>, Error>,
    ) -> Result<(), Error> {
        for (namespace, key, change) in &batch.values {
            let value = match change {
                StateChange::Set(value) => Some(value.clone()),
                StateChange::Remove => None,
                StateChange::Add(amount) => {
                    let before = self.value(namespace, key).map_or_else(|| stored(namespace, key), Ok)?;
                    Some(sum(namespace, key, &before.unwrap_or_default(), amount)?)
                }
            };
            self.0.lock().entry(namespace.clone()).or_default().insert(key.clone(), value);
        }
        Ok(())
    }
}

impl Batch {
    /// Adds the effects of a later batch, so that committing this one has the same result as committing both in order.
    ///
    /// # Errors
    /// If two amounts cannot be added. Then this batch is unusable.
    pub fn merge(&mut self, later: &Self) -> Result<(), Error> {
        for (namespace, key, change) in &later.values {
            let known = self.values.iter_mut().find(|(other, name, _)| other == namespace && name == key);
            match known {
                Some((.., earlier)) => *earlier = merged(namespace, key, earlier, change)?,
                None => self.values.push((namespace.clone(), key.clone(), change.clone())),
            }
        }
        self.timers_set.extend(later.timers_set.iter().cloned());
        self.timers_cancelled.extend(later.timers_cancelled.iter().cloned());
        self.acknowledged_timers.extend(later.acknowledged_timers.iter().cloned());
        self.event_deliveries.extend(later.event_deliveries.iter().cloned());
        self.acknowledged_events.extend(&later.acknowledged_events);
        Ok(())
    }

    /// Returns whether it has effects that are committed together with the acknowledgement of its event.
    pub fn has_changes(&self) -> bool {
        !self.values.is_empty() || self.has_timers_or_events()
    }

    /// Returns whether it sets, cancels or acknowledges timers, or delivers events: effects that other runs do not see before the commit.
    pub fn has_timers_or_events(&self) -> bool {
        !(self.timers_set.is_empty()
            && self.timers_cancelled.is_empty()
            && self.acknowledged_timers.is_empty()
            && self.event_deliveries.is_empty())
    }
}

/// Returns the change that has the effect of two in order.
fn merged(namespace: &str, key: &str, earlier: &StateChange, later: &StateChange) -> Result<StateChange, Error> {
    Ok(match (earlier, later) {
        (_, StateChange::Set(_) | StateChange::Remove) => later.clone(),
        (StateChange::Set(value), StateChange::Add(amount)) => StateChange::Set(sum(namespace, key, value, amount)?),
        (StateChange::Remove, StateChange::Add(amount)) => StateChange::Set(sum(namespace, key, &Value::Null, amount)?),
        (StateChange::Add(first), StateChange::Add(second)) => StateChange::Add(sum(namespace, key, first, second)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::Store;

    fn batch(changes: &[(&str, StateChange)]) -> Batch {
        let values = changes.iter().map(|(key, change)| ("script:a".to_owned(), (*key).to_owned(), change.clone()));
        Batch { values: values.collect(), ..Batch::default() }
    }

    fn batches() -> [Batch; 3] {
        use StateChange::{Add, Remove, Set};
        let int = |value: i64| Value::Int(value);
        [
            batch(&[("set", Set(int(1))), ("added", Add(int(1))), ("gone", Set(int(1))), ("back", Remove)]),
            batch(&[("set", Add(int(5))), ("added", Add(int(2))), ("gone", Remove), ("back", Add(int(3)))]),
            batch(&[("added", Add(Value::Float(0.5))), ("new", Set("text".into()))]),
        ]
    }

    #[test]
    fn a_merged_batch_has_the_effect_of_its_parts_in_order() {
        let stores = [Store::in_memory().unwrap(), Store::in_memory().unwrap()];
        let before = batch(&[("added", StateChange::Set(Value::Int(10))), ("back", StateChange::Set(Value::Int(7)))]);
        stores.iter().for_each(|store| store.commit(&before).unwrap());
        let mut all = Batch::default();
        for part in batches() {
            stores[0].commit(&part).unwrap();
            all.merge(&part).unwrap();
        }
        stores[1].commit(&all).unwrap();
        assert_eq!(stores[0].values("script:a").unwrap(), stores[1].values("script:a").unwrap());
        assert_eq!(stores[1].value("script:a", "added").unwrap(), Some(Value::Float(13.5)));
    }

    #[test]
    fn uncommitted_values_are_those_that_a_commit_stores() {
        let store = Store::in_memory().unwrap();
        store.commit(&batch(&[("added", StateChange::Set(Value::Int(10)))])).unwrap();
        let uncommitted = UncommittedState::default();
        for part in batches() {
            uncommitted.apply(&part, |namespace, key| store.value(namespace, key)).unwrap();
        }
        let changed: Vec<_> = uncommitted.keys("script:a").into_iter().collect();
        batches().iter().for_each(|part| store.commit(part).unwrap());
        for (key, has_value) in changed {
            let stored = store.value("script:a", &key).unwrap();
            assert_eq!(uncommitted.value("script:a", &key), Some(stored.clone()), "{key}");
            assert_eq!(has_value, stored.is_some(), "{key}");
        }
        assert_eq!(uncommitted.value("script:b", "set"), None);
    }

    #[test]
    fn an_amount_that_cannot_be_added_is_an_error() {
        let mut all = batch(&[("n", StateChange::Set("text".into()))]);
        assert!(all.merge(&batch(&[("n", StateChange::Add(Value::Int(1)))])).is_err());
    }
}
