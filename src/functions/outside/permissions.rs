//! Permission checks of the script on the current thread.

use std::sync::Arc;

use crate::config::{Config, Need};
use crate::functions::phase::{Phase, phase};
use crate::functions::thrown::{Thrown, denied, thrown};

/// Returns the script name and the config, also while the script is loading.
fn script_and_config(function: &str) -> Result<(Arc<str>, Arc<Config>), Thrown> {
    match phase() {
        Phase::Running(context) => Ok((context.script.clone(), context.config.clone())),
        Phase::Loading(loading) => Ok((loading.script.clone(), loading.config.clone())),
        Phase::None | Phase::TestRun(_) => {
            Err(thrown("top_level", format!("`{function}` can only be called in a script")))
        }
    }
}

/// Checks a permission of the script on this thread; returns its config.
pub(super) fn check(function: &str, need: Need<'_>) -> Result<Arc<Config>, Thrown> {
    let (script, config) = script_and_config(function)?;
    config.permissions.check(&script, need).map_err(|error| denied(&error))?;
    Ok(config)
}
