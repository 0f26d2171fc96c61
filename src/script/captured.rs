//! Values that closures capture: deep copies, nesting limits, and handles.

use rhai::{Dynamic, FnPtr};

use crate::value::{MAX_DEPTH, map_of};

/// Returns a copy that shares no data with the original, not even through captured values of closures.
pub(super) fn deep_copy(value: &Dynamic) -> Dynamic {
    let value = value.flatten_clone();
    if let Some(pointer) = value.read_lock::<FnPtr>() {
        let mut copy = pointer.clone();
        copy.set_curry(pointer.curry().iter().map(deep_copy).collect::<Vec<_>>());
        return copy.into();
    }
    if let Some(items) = value.read_lock::<rhai::Array>() {
        return items.iter().map(deep_copy).collect::<rhai::Array>().into();
    }
    if let Some(map) = value.read_lock::<rhai::Map>() {
        return map_of(map.iter().map(|(key, value)| (key.clone(), deep_copy(value)))).into();
    }
    value
}

/// Returns whether a value nests at most [`MAX_DEPTH`] levels, so that any thread can drop it.
pub(super) fn is_shallow(value: &Dynamic) -> bool {
    fn is_shallow_at(value: &Dynamic, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        if let Some(pointer) = value.read_lock::<FnPtr>() {
            return pointer.curry().iter().all(|value| is_shallow_at(value, depth + 1));
        }
        if let Some(items) = value.read_lock::<rhai::Array>() {
            return items.iter().all(|value| is_shallow_at(value, depth + 1));
        }
        value.read_lock::<rhai::Map>().is_none_or(|map| map.values().all(|value| is_shallow_at(value, depth + 1)))
    }
    is_shallow_at(value, 0)
}

/// Returns whether a value is a handle on external data, such as `state`, and not data itself.
pub(super) fn is_handle(value: &Dynamic) -> bool {
    let value = value.flatten_clone();
    !(value.is_unit()
        || value.is_bool()
        || value.is_int()
        || value.is_float()
        || value.is_char()
        || value.is_string()
        || value.is_array()
        || value.is_map()
        || value.is_blob()
        || value.is_timestamp()
        || value.is_fnptr())
}
