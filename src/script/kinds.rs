//! The trigger kinds that scripts can declare.

use crate::triggers::{KINDS, Kind};

/// Returns every trigger kind that a script can declare.
pub(super) fn kinds() -> impl Iterator<Item = &'static Kind> {
    #[cfg(test)]
    let more = super::test_kinds::KINDS;
    #[cfg(not(test))]
    let more: &[&Kind] = &[];
    KINDS.iter().chain(more).copied()
}

/// Returns whether a function declares a trigger.
pub(super) fn is_kind(name: &str) -> bool {
    kinds().any(|kind| kind.name == name)
}

/// Returns the form of a declaration, such as `cron(expression, [options,] |tick| …)`.
pub(super) fn usage(kind: &Kind) -> String {
    let arguments: String = kind.arguments.iter().map(|argument| format!("{argument}, ")).collect();
    format!("{}({arguments}[#{{ options }},] |{}| …)", kind.name, handler_argument(kind))
}

/// Returns the usual name of the handler's argument.
fn handler_argument(kind: &Kind) -> &str {
    let name = kind.event.trim_start_matches('`');
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty()).unwrap_or("event")
}
