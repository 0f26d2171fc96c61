//! State: reads through the cache, and manual edits.

use std::collections::BTreeMap;

use crate::services::store::error::Error;
use crate::services::store::handle::Store;
use crate::services::store::model::{Batch, MAX_KEY, NamespaceSize, StateChange, StateEdit};
use crate::value::Value;

impl Store {
    /// Returns a value.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn value(&self, namespace: &str, key: &str) -> Result<Option<Value>, Error> {
        let storage = self.storage();
        let read = |values: &BTreeMap<String, Value>| values.get(key).cloned();
        let load = |max_bytes| storage.namespace(namespace, max_bytes);
        self.state_cache().read(namespace, read, load, || storage.value(namespace, key))
    }

    /// Returns the keys of a namespace in ascending order.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn keys(&self, namespace: &str) -> Result<Vec<String>, Error> {
        let storage = self.storage();
        let read = |values: &BTreeMap<String, Value>| values.keys().cloned().collect();
        let load = |max_bytes| storage.namespace(namespace, max_bytes);
        self.state_cache().read(namespace, read, load, || storage.keys(namespace))
    }

    /// Returns the namespaces that hold a value, by name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn namespaces(&self) -> Result<Vec<NamespaceSize>, Error> {
        self.storage().namespaces()
    }

    /// Returns all values of a namespace.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn values(&self, namespace: &str) -> Result<BTreeMap<String, Value>, Error> {
        Ok(self.storage().namespace(namespace, usize::MAX)?.unwrap_or_default())
    }

    /// Commits a manual edit; blocks until it is on disk. Scripts see it from their next read on.
    ///
    /// # Errors
    /// If the name of a namespace or a key is invalid, or as [`Store::commit`].
    pub fn edit(&self, edit: &StateEdit) -> Result<(), Error> {
        let mut changes = Vec::new();
        for namespace in &edit.cleared {
            check(namespace, "")?;
            let keys = self.keys(namespace)?;
            changes.extend(keys.into_iter().map(|key| (namespace.clone(), key, StateChange::Remove)));
        }
        for (namespace, key, value) in &edit.values {
            check(namespace, key)?;
            let change = if *value == Value::Null { StateChange::Remove } else { StateChange::Set(value.clone()) };
            changes.push((namespace.clone(), key.clone(), change));
        }
        self.commit(&Batch { values: changes, ..Batch::default() })
    }
}

fn check(namespace: &str, key: &str) -> Result<(), Error> {
    let name = namespace.strip_prefix("script:").or_else(|| namespace.strip_prefix("shared:"));
    if name.is_none_or(str::is_empty) {
        let text = format!("{namespace:?} is not a namespace of state: write `script:NAME` or `shared:NAMESPACE`");
        return Err(Error::Failed(text));
    }
    if key.len() > MAX_KEY {
        return Err(Error::Failed(format!("a key can have at most {MAX_KEY} bytes, not {}", key.len())));
    }
    Ok(())
}
