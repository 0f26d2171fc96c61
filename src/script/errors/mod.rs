//! Converts errors of the interpreter to faults: position, message, hint and call stack.

mod stopped;
mod text;
mod thrown;

pub(super) use self::stopped::{stop_loading, stopped};
pub(super) use self::thrown::{at_top_level, panicked, syntax, thrown};
