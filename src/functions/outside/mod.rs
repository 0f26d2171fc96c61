//! The machine outside: secrets, variables, files, programs; only what the script's permissions allow.

mod exec;
mod files;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rhai::plugin::*;

pub(super) use self::files::{allowed, content, read_allowed, readable};
use crate::config::{Config, Need};
use crate::functions::arguments::invalid_argument;
use crate::functions::{Package, Phase, Thrown, denied, phase, thrown};

/// The machine outside.
pub const OUTSIDE: Package = Package {
    name: "Outside",
    docs: "Secrets, variables, files and programs: only what `permissions:` in rhaid.yaml allow the script.",
    register: |module| {
        combine_with_exported_module!(module, "outside", functions);
        files::register(module);
        exec::register(module);
    },
};

/// Returns the script's name and the config, also while it is loaded.
fn asking(function: &str) -> Result<(Arc<str>, Arc<Config>), Thrown> {
    match phase() {
        Phase::Running(context) => Ok((context.script.clone(), context.config.clone())),
        Phase::Loading(loading) => Ok((loading.script.clone(), loading.config.clone())),
        Phase::None | Phase::TestRun(_) => Err(thrown("top_level", format!("`{function}` is for scripts that run"))),
    }
}

/// Checks one need of the script on this thread.
fn check(function: &str, need: Need<'_>) -> Result<Arc<Config>, Thrown> {
    let (script, config) = asking(function)?;
    config.permissions.check(&script, need).map_err(|no| denied(&no))?;
    Ok(config)
}

/// Returns where relative paths of scripts start: where `rhaid.yaml` lies, and without one where the scripts folder lies.
fn base(config: &Config) -> PathBuf {
    let beside = config.file.as_deref().unwrap_or(&config.scripts);
    let beside = std::path::absolute(beside).unwrap_or_else(|_| beside.to_owned());
    beside.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Returns a path as permissions want it: absolute, and with every symlink resolved of the part that exists.
fn resolved(path: &str, config: &Config) -> Result<PathBuf, Thrown> {
    if path.is_empty() || path.len() > 4_096 || path.contains('\0') {
        return Err(invalid_argument("a path has 1 to 4096 bytes and no NUL"));
    }
    let whole = base(config).join(path);
    let mut missing = Vec::new();
    let mut there = whole.as_path();
    loop {
        match there.canonicalize() {
            Ok(real) => return Ok(missing.into_iter().rev().fold(real, |path, part| path.join(part))),
            Err(_) => {
                let (Some(parent), Some(Component::Normal(name))) = (there.parent(), there.components().next_back())
                else {
                    return Err(invalid_argument(format!(
                        "the path {path:?} leads nowhere: `..` behind something that is not there"
                    )));
                };
                missing.push(name);
                there = parent;
            }
        }
    }
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Returns a secret of `rhaid.yaml`. Its value never appears in a log, a fault or the run history. Works at the top level too.
    ///
    /// # Example
    /// ```rhai
    /// let token = secret("ntfy_token");
    /// assert_eq(token, "s3cret-value");
    /// ```
    #[rhai_fn(name = "secret", return_raw)]
    pub fn secret(name: &str) -> Result<String, Thrown> {
        let config = check("secret", Need::Secret(name))?;
        let known = config.secrets.iter().find(|(known, _)| known == name);
        known.map(|(_, secret)| secret.expose().to_owned()).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            thrown("not_found", format!("there is no secret {shown:?}: add it under `secrets:` in rhaid.yaml"))
        })
    }

    /// Returns a variable of rhaid's environment, or `()` if it is not set. Works at the top level too.
    ///
    /// # Example
    /// ```rhai
    /// let path = env("PATH");
    /// assert(path.contains("/"));
    /// assert_eq(env("NO_SUCH_VARIABLE"), ());
    /// ```
    #[rhai_fn(name = "env", return_raw)]
    pub fn env(name: &str) -> Result<Dynamic, Thrown> {
        check("env", Need::Variable(name))?;
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid_argument("a variable's name is not empty and has no `=`"));
        }
        Ok(std::env::var_os(name).map_or(Dynamic::UNIT, |value| value.to_string_lossy().into_owned().into()))
    }
}
