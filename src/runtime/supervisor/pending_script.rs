//! Activates scripts that are not active yet: from their file, or from the last accepted version.

use std::sync::Arc;

use super::model::{Supervisor, SyncReason};
use crate::config::Level;
use crate::fault::Fault;
use crate::runtime::load::{Loaded, Request, bind};
use crate::runtime::registry::ScriptVersion;
use crate::runtime::reload::{accepted_message, no_trigger_warning, rejected_message};
use crate::runtime::settings::Settings;
use crate::runtime::sources::AcceptedSources;
use crate::script::{Purpose, Script};
use crate::services::store::{AcceptedVersion, Store};

/// Script that is loaded and not active yet.
pub(super) enum PendingScript {
    /// Its file is valid.
    Ready(Script, u64),
    /// Its file is broken; the last accepted version is used.
    Fallback(Script, u64, Vec<Fault>),
    /// It cannot be activated.
    Broken(Vec<Fault>),
}

impl Supervisor {
    /// Activates a script; returns whether it is active now.
    pub(super) async fn activate(&mut self, pending: PendingScript, loaded: Loaded, reason: &SyncReason) -> bool {
        let name = loaded.request.name;
        let Some(entry) = self.registry.get_mut(&name) else { return false };
        entry.fingerprints = loaded.fingerprints;
        entry.rejected = None;
        let (script, number) = match pending {
            PendingScript::Ready(script, number) => (script, number),
            PendingScript::Fallback(script, number, faults) => {
                let text = rejected_message(Some(number), number + 1, &faults);
                self.log.write(Level::Error, &name, text);
                self.log.write(Level::Warn, &name, format!("{name} starts from v{number}, the last accepted version"));
                entry.rejected = Some(faults);
                (script, number)
            }
            PendingScript::Broken(faults) => {
                self.log.write(Level::Error, &name, rejected_message(None, 0, &faults));
                entry.rejected = Some(faults);
                return false;
            }
        };
        let is_idle = script.declarations.is_empty();
        let version = Arc::new(ScriptVersion { number, script, is_job: loaded.request.is_job });
        let changes = self.exchange(&name, version).await;
        let level = if *reason == SyncReason::Boot { Level::Debug } else { Level::Info };
        self.log.write(level, &name, accepted_message("loaded", &name, number, loaded.took, &changes));
        if is_idle {
            self.log.write(Level::Warn, &name, no_trigger_warning(&name));
        }
        true
    }
}

/// Prepares a script for activation; also returns the error of the store, if accepted versions could not be read or written.
pub(super) fn prepare(
    mut loaded: Loaded,
    store: &Store,
    settings: &Settings,
) -> (PendingScript, Loaded, Option<String>) {
    let name = loaded.request.name.clone();
    let (accepted, mut problem) = match store.accepted_version(&name) {
        Ok(accepted) => (accepted, None),
        Err(error) => (None, Some(format!("its accepted versions cannot be read: {error}"))),
    };
    let pending = match std::mem::replace(&mut loaded.result, Err(Vec::new())) {
        Ok(script) => {
            let number = store.accept_version(&name, &script.files).unwrap_or_else(|error| {
                problem = Some(format!("it runs, but could not be stored for the next start: {error}"));
                accepted.map_or(1, |older| older.version + 1)
            });
            PendingScript::Ready(script, number)
        }
        Err(faults) => match accepted.and_then(|accepted| revive(&loaded.request, accepted, settings)) {
            Some((script, number)) => PendingScript::Fallback(script, number, faults),
            None => PendingScript::Broken(faults),
        },
    };
    (pending, loaded, problem)
}

fn revive(request: &Request, accepted: AcceptedVersion, settings: &Settings) -> Option<(Script, u64)> {
    let script = load_accepted(request, accepted.files, settings).ok()?;
    Some((script, accepted.version))
}

/// Loads an accepted version with the current settings.
///
/// # Errors
/// Its faults with these settings.
pub(super) fn load_accepted(
    request: &Request,
    files: Vec<(String, String)>,
    settings: &Settings,
) -> Result<Script, Vec<Fault>> {
    let purpose = if request.is_job { Purpose::Job } else { Purpose::Handlers };
    let sources = Arc::new(AcceptedSources(files));
    let mut script = Script::load(&request.file, &purpose, sources, &settings.config, &settings.trigger_context)?;
    if request.is_job {
        let bindings = settings.config.triggers.iter().filter(|binding| binding.job == request.file);
        script.declarations = bind(bindings, &settings.config, &settings.trigger_context)?;
    }
    Ok(script)
}
