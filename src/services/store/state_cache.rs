//! Write-through cache of state: after the first read of a namespace, reads cost neither SQL nor JSON parsing.
//!
//! A namespace is loaded as a whole by its first read. The writer thread applies each committed change after its transaction has
//! succeeded and before the caller of the commit continues, so a read sees every commit that ended before it. This requires that no
//! other process writes state meanwhile; the lock of the data folder ensures it.
//!
//! Memory is bounded: beyond the budget the least recently read namespaces are evicted as a whole, and a namespace that takes more than
//! a quarter of the budget is read from the database value by value.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::memory;
use crate::services::store::error::Error;
use crate::services::store::weight::{entry_weight, namespace_weight};
use crate::value::{Map, Value};

/// The largest approximate memory use of all cached namespaces, in bytes.
const BUDGET: usize = 32 << 20;
/// After this many reads of a namespace that was too large or unreadable, loading it is tried again.
const RETRY_READS: u32 = 10_000;

/// Cached namespaces.
pub(super) struct StateCache {
    entries: RwLock<CacheEntries>,
    /// Held while a namespace is loaded, so that two readers do not load it twice.
    loading: Mutex<()>,
    reads: AtomicU64,
    budget: usize,
}

#[derive(Default)]
struct CacheEntries {
    namespaces: HashMap<String, CacheEntry>,
    /// Approximate memory use of the loaded namespaces.
    bytes: usize,
}

enum CacheEntry {
    /// A reader loads the namespace. Holds the changes committed meanwhile, which are newer than the loaded values.
    Loading(Vec<StateUpdate>),
    Loaded(LoadedNamespace),
    /// Too large, or not readable as a whole; counts the reads since.
    Bypassed(AtomicU32),
}

struct LoadedNamespace {
    values: Map,
    bytes: usize,
    /// Number of the last read, among all reads of the cache.
    last_read: AtomicU64,
}

/// Committed change of one value: the new value, `None` if it was removed.
pub(super) struct StateUpdate {
    pub(super) namespace: String,
    pub(super) key: String,
    pub(super) value: Option<Value>,
}

/// Result of a lookup.
enum Lookup<T> {
    Found(T),
    Bypassed,
    Missing,
}

impl Default for StateCache {
    fn default() -> Self {
        Self::with_budget(BUDGET)
    }
}

impl StateCache {
    /// Creates a cache of this many bytes.
    pub(super) fn with_budget(budget: usize) -> Self {
        Self { entries: RwLock::default(), loading: Mutex::default(), reads: AtomicU64::new(0), budget }
    }

    /// Reads from a namespace, which is loaded first if need be.
    ///
    /// `load` reads the namespace from the database, `None` if it takes more bytes than its argument. `bypass` reads from the database
    /// without loading the namespace.
    ///
    /// # Errors
    /// Those of `bypass`.
    pub(super) fn read<T>(
        &self,
        namespace: &str,
        read: impl Fn(&Map) -> T,
        load: impl FnOnce(usize) -> Result<Option<Map>, Error>,
        bypass: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.look_up(namespace, &read) {
            Lookup::Found(found) => return Ok(found),
            Lookup::Bypassed => return bypass(),
            Lookup::Missing => {}
        }
        {
            let _loading = self.loading.lock();
            if let Lookup::Found(found) = self.look_up(namespace, &read) {
                return Ok(found);
            }
            // The memory belongs to the cache, not to the run that happens to load the namespace.
            memory::uncounted(|| self.load(namespace, load));
        }
        match self.look_up(namespace, &read) {
            Lookup::Found(found) => Ok(found),
            Lookup::Bypassed | Lookup::Missing => bypass(),
        }
    }

    fn look_up<T>(&self, namespace: &str, read: impl Fn(&Map) -> T) -> Lookup<T> {
        let entries = self.entries.read();
        match entries.namespaces.get(namespace) {
            Some(CacheEntry::Loaded(loaded)) => {
                loaded.last_read.store(self.reads.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                Lookup::Found(read(&loaded.values))
            }
            Some(CacheEntry::Bypassed(reads)) if reads.fetch_add(1, Ordering::Relaxed) < RETRY_READS => {
                Lookup::Bypassed
            }
            Some(CacheEntry::Loading(_) | CacheEntry::Bypassed(_)) | None => Lookup::Missing,
        }
    }

    fn load(&self, namespace: &str, load: impl FnOnce(usize) -> Result<Option<Map>, Error>) {
        self.entries.write().namespaces.insert(namespace.to_owned(), CacheEntry::Loading(Vec::new()));
        // An error is reported by the read that bypasses the cache, if it concerns the requested value.
        let values = load(self.max_namespace_bytes()).ok().flatten();
        let mut entries = self.entries.write();
        let updates = match entries.namespaces.remove(namespace) {
            Some(CacheEntry::Loading(updates)) => updates,
            _ => Vec::new(),
        };
        let loaded = values.map(|values| {
            let entries: usize = values.iter().map(|(key, value)| entry_weight(key, value)).sum();
            let bytes = namespace_weight(namespace) + entries;
            let last_read = AtomicU64::new(self.reads.load(Ordering::Relaxed));
            let mut loaded = LoadedNamespace { values, bytes, last_read };
            updates.into_iter().for_each(|update| loaded.update(update.key, update.value));
            loaded
        });
        let entry = match loaded {
            Some(loaded) if loaded.bytes <= self.max_namespace_bytes() => {
                entries.bytes += loaded.bytes;
                CacheEntry::Loaded(loaded)
            }
            _ => CacheEntry::bypassed(),
        };
        entries.namespaces.insert(namespace.to_owned(), entry);
        self.evict(&mut entries);
    }

    /// Applies committed changes, in the order of their commits.
    pub(super) fn apply(&self, updates: impl IntoIterator<Item = StateUpdate>) {
        let mut updates = updates.into_iter().peekable();
        if updates.peek().is_none() {
            return;
        }
        let mut entries = self.entries.write();
        let CacheEntries { namespaces, bytes } = &mut *entries;
        for update in updates {
            let Some(entry) = namespaces.get_mut(&update.namespace) else { continue };
            match entry {
                CacheEntry::Loading(pending) => pending.push(update),
                CacheEntry::Loaded(loaded) => {
                    *bytes -= loaded.bytes;
                    loaded.update(update.key, update.value);
                    if loaded.bytes > self.max_namespace_bytes() {
                        *entry = CacheEntry::bypassed();
                    } else {
                        *bytes += loaded.bytes;
                    }
                }
                CacheEntry::Bypassed(_) => {}
            }
        }
        self.evict(&mut entries);
    }

    /// Evicts the least recently read namespaces until the budget holds.
    fn evict(&self, entries: &mut CacheEntries) {
        while entries.bytes > self.budget {
            let loaded = entries.namespaces.iter().filter_map(|(name, entry)| match entry {
                CacheEntry::Loaded(loaded) => Some((name, loaded)),
                CacheEntry::Loading(_) | CacheEntry::Bypassed(_) => None,
            });
            let oldest = loaded.min_by_key(|(_, loaded)| loaded.last_read.load(Ordering::Relaxed));
            let Some((name, bytes)) = oldest.map(|(name, loaded)| (name.clone(), loaded.bytes)) else { return };
            entries.namespaces.remove(&name);
            entries.bytes -= bytes;
        }
    }

    fn max_namespace_bytes(&self) -> usize {
        self.budget / 4
    }
}

impl CacheEntry {
    fn bypassed() -> Self {
        Self::Bypassed(AtomicU32::new(0))
    }
}

impl LoadedNamespace {
    fn update(&mut self, key: String, value: Option<Value>) {
        let added = value.as_ref().map_or(0, |value| entry_weight(&key, value));
        let removed = self.values.get(&key).map_or(0, |value| entry_weight(&key, value));
        self.bytes = self.bytes + added - removed;
        match value {
            Some(value) => self.values.insert(key, value),
            None => self.values.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::value::map_of;

    fn update(namespace: &str, key: &str, value: Option<i64>) -> StateUpdate {
        StateUpdate { namespace: namespace.into(), key: key.into(), value: value.map(Value::Int) }
    }

    fn one(key: &str, value: i64) -> Map {
        map_of([(key.to_owned(), Value::Int(value))])
    }

    /// Reads a value of a cache whose database holds `map`, and returns it with the number of loads and of bypasses.
    fn read(cache: &StateCache, namespace: &str, key: &str, map: &Map) -> (Option<Value>, u32, u32) {
        let (loads, bypasses) = (Cell::new(0), Cell::new(0));
        let load = |max: usize| {
            loads.set(loads.get() + 1);
            let bytes: usize = map.iter().map(|(key, value)| entry_weight(key, value)).sum();
            Ok((bytes <= max).then(|| map.clone()))
        };
        let bypass = || {
            bypasses.set(bypasses.get() + 1);
            Ok(map.get(key).cloned())
        };
        let value = cache.read(namespace, |values| values.get(key).cloned(), load, bypass).unwrap();
        (value, loads.get(), bypasses.get())
    }

    #[test]
    fn a_namespace_is_loaded_once_and_follows_commits() {
        let cache = StateCache::default();
        assert_eq!(read(&cache, "a", "n", &one("n", 1)), (Some(Value::Int(1)), 1, 0));
        cache.apply([update("a", "n", Some(2)), update("a", "m", Some(3)), update("b", "n", Some(9))]);
        assert_eq!(read(&cache, "a", "n", &Map::new()), (Some(Value::Int(2)), 0, 0));
        cache.apply([update("a", "n", None)]);
        assert_eq!(read(&cache, "a", "n", &Map::new()), (None, 0, 0));
        assert_eq!(read(&cache, "a", "m", &Map::new()), (Some(Value::Int(3)), 0, 0));
        assert_eq!(read(&cache, "b", "n", &Map::new()), (None, 1, 0));
    }

    #[test]
    fn a_commit_during_the_load_is_newer_than_the_loaded_values() {
        let cache = StateCache::default();
        let load = |_| {
            let before = one("n", 1);
            cache.apply([update("a", "n", Some(2)), update("a", "new", Some(3))]);
            Ok(Some(before))
        };
        let value = cache.read("a", |values| values.clone(), load, || panic!("it is loaded")).unwrap();
        assert_eq!(value, map_of([("n".to_owned(), Value::Int(2)), ("new".to_owned(), Value::Int(3))]));
    }

    #[test]
    fn the_least_recently_read_namespaces_are_evicted() {
        let cache = StateCache::with_budget(8 * (namespace_weight("0") + entry_weight("k", &Value::Int(0))));
        let map = one("k", 1);
        for namespace in 0..8 {
            assert_eq!(read(&cache, &namespace.to_string(), "k", &map), (Some(Value::Int(1)), 1, 0));
        }
        assert_eq!(read(&cache, "0", "k", &map).1, 0);
        assert_eq!(read(&cache, "8", "k", &map).1, 1);
        assert_eq!(read(&cache, "0", "k", &map).1, 0, "it was read a moment ago");
        assert_eq!(read(&cache, "1", "k", &map).1, 1, "it was the least recently read one");
        assert!(cache.entries.read().bytes <= cache.budget);
    }

    #[test]
    fn empty_namespaces_count_against_the_budget() {
        let cache = StateCache::with_budget(8 * namespace_weight("0"));
        for namespace in 0..100 {
            read(&cache, &namespace.to_string(), "k", &Map::new());
        }
        assert!(cache.entries.read().namespaces.len() <= 8);
    }

    #[test]
    fn a_namespace_that_is_or_grows_too_large_is_read_value_by_value() {
        let cache = StateCache::with_budget(4 * (namespace_weight("grows") + 3 * entry_weight("k0", &Value::Int(0))));
        let large: Map = (0..4).map(|n| (format!("k{n}"), Value::Int(n))).collect();
        assert_eq!(read(&cache, "large", "k3", &large), (Some(Value::Int(3)), 1, 1));
        assert_eq!(read(&cache, "large", "k3", &large), (Some(Value::Int(3)), 0, 1));
        assert_eq!(read(&cache, "grows", "k0", &one("k0", 0)), (Some(Value::Int(0)), 1, 0));
        cache.apply((1..4).map(|n| update("grows", &format!("k{n}"), Some(n))));
        assert_eq!(read(&cache, "grows", "k3", &large), (Some(Value::Int(3)), 0, 1));
        assert_eq!(cache.entries.read().bytes, 0);
        for _ in 0..RETRY_READS {
            read(&cache, "large", "k3", &one("k3", 3));
        }
        assert_eq!(read(&cache, "large", "k3", &one("k3", 3)), (Some(Value::Int(3)), 0, 0), "it is small by now");
    }

    #[test]
    fn a_namespace_that_cannot_be_loaded_is_read_value_by_value() {
        let cache = StateCache::default();
        let load = |_| Err(Error::Failed("one of its values is unreadable".into()));
        let read = |value: Result<i64, Error>| cache.read("a", |_| -1, load, || value);
        assert_eq!(read(Ok(1)).unwrap(), 1);
        assert_eq!(read(Ok(2)).unwrap(), 2);
        assert!(read(Err(Error::Failed("unreadable".into()))).is_err());
    }
}
