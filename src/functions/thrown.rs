//! Errors that functions throw.

use rhai::{Dynamic, EvalAltResult, Position};

use crate::config::Denied;

/// An error that a function throws.
pub type Thrown = Box<EvalAltResult>;

/// Returns an error that a script catches as `err`: a map with `kind` and `message`.
pub fn thrown(kind: &str, message: impl Into<String>) -> Thrown {
    let mut map = rhai::Map::new();
    map.insert("kind".into(), kind.into());
    map.insert("message".into(), message.into().into());
    EvalAltResult::ErrorRuntime(Dynamic::from_map(map), Position::NONE).into()
}

/// Returns the error for an invalid argument.
pub(super) fn invalid_argument(why: impl ToString) -> Thrown {
    thrown("invalid_argument", why.to_string())
}

/// Returns the error for a result that exceeds a size limit.
pub(super) fn too_large(what: &str, limit: usize, unit: &str) -> Thrown {
    thrown("too_large", format!("{what} has more than {limit} {unit}"))
}

/// Returns the error for a missing permission; `hint` holds the line of `rhaid.yaml` that grants it.
pub(super) fn denied(error: &Denied) -> Thrown {
    with_fields(thrown("denied", error.to_string()), [("hint", error.hint.clone().into())])
}

/// Adds fields to the map that a script catches.
pub(super) fn with_fields<const N: usize>(mut thrown: Thrown, fields: [(&str, Dynamic); N]) -> Thrown {
    if let EvalAltResult::ErrorRuntime(value, _) = thrown.as_mut()
        && let Some(mut map) = value.write_lock::<rhai::Map>()
    {
        map.extend(fields.into_iter().map(|(name, field)| (name.into(), field)));
    }
    thrown
}

/// Prepends text, such as the name of an option, to the message of an error.
pub(super) fn with_prefix(prefix: &str, mut thrown: Thrown) -> Thrown {
    if let EvalAltResult::ErrorRuntime(value, _) = thrown.as_mut()
        && let Some(mut map) = value.write_lock::<rhai::Map>()
        && let Some(message) = map.get_mut("message")
    {
        *message = format!("{prefix}: {message}").into();
    }
    thrown
}

/// Reason to end a run that scripts cannot override by catching errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The deadline passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
    /// The operation limit is used up.
    Operations,
    /// The memory limit is exceeded.
    Memory,
}

/// Returns an error that no script can catch; `script` reads the [`Stop`] from it.
pub fn uncatchable(stop: Stop) -> Thrown {
    EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
}
