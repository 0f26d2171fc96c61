//! Supervisor: activates scripts, replaces them when their files change, and stops them.

mod activation;
mod commands;
mod config;
mod exchange;
mod model;
mod pending_script;
mod quarantine;
mod shutdown;
mod sync;

pub(crate) use self::commands::{Command, MAX_COMMANDS};
pub use self::model::ScriptSelection;
pub(crate) use self::model::{Supervisor, SyncReason};
