//! Brings scripts to life that do not live yet: from their file, or from what was accepted before.

use std::sync::Arc;

use super::{Supervisor, Why};
use crate::config::Level;
use crate::fault::Fault;
use crate::runtime::load::{Loaded, Request, bind};
use crate::runtime::registry::Version;
use crate::runtime::reload::{accepted_line, idle_line, rejected_report};
use crate::runtime::settings::Settings;
use crate::runtime::sources::AcceptedSources;
use crate::script::{Purpose, Script};
use crate::services::store::{AcceptedVersion, Store};

/// A script that does not live yet, made ready beside those that do.
pub(super) enum PendingScript {
    /// Its file is good.
    Ready(Script, u64),
    /// Its file is not, but an accepted version is.
    Fallback(Script, u64, Vec<Fault>),
    /// It can not live.
    Broken(Vec<Fault>),
}

impl Supervisor {
    /// Brings a script to life that does not live yet; returns whether it does now.
    pub(super) async fn bear(&mut self, newborn: PendingScript, loaded: Loaded, why: &Why) -> bool {
        let name = loaded.request.name;
        let Some(entry) = self.registry.get_mut(&name) else { return false };
        entry.seen = loaded.seen;
        entry.rejected = None;
        let (script, number) = match newborn {
            PendingScript::Ready(script, number) => (script, number),
            PendingScript::Fallback(script, number, faults) => {
                let text = rejected_report(Some(number), number + 1, &faults);
                self.lines.say(Level::Error, &name, text);
                self.lines.say(
                    Level::Warn,
                    &name,
                    format!("{name} starts from v{number}, the last version that was accepted"),
                );
                entry.rejected = Some(faults);
                (script, number)
            }
            PendingScript::Broken(faults) => {
                self.lines.say(Level::Error, &name, rejected_report(None, 0, &faults));
                entry.rejected = Some(faults);
                return false;
            }
        };
        let is_idle = script.declarations.is_empty();
        let version = Arc::new(Version { number, script, is_job: loaded.request.is_job });
        let changes = self.exchange(&name, version).await;
        let level = if *why == Why::Boot { Level::Debug } else { Level::Info };
        self.lines.say(level, &name, accepted_line("loaded", &name, number, loaded.took, &changes));
        if is_idle {
            self.lines.say(Level::Warn, &name, idle_line(&name));
        }
        true
    }
}

/// Makes a script ready that does not live yet, and says what went wrong with what is kept of it.
pub(super) fn prepare(
    mut loaded: Loaded,
    store: &Store,
    settings: &Settings,
) -> (PendingScript, Loaded, Option<String>) {
    let name = loaded.request.name.clone();
    let (accepted, mut problem) = match store.accepted_version(&name) {
        Ok(accepted) => (accepted, None),
        Err(error) => (None, Some(format!("its accepted versions can not be read: {error}"))),
    };
    let newborn = match std::mem::replace(&mut loaded.result, Err(Vec::new())) {
        Ok(script) => {
            let number = store.accept_version(&name, &script.files).unwrap_or_else(|error| {
                problem = Some(format!("it runs but is not kept for the next start: {error}"));
                accepted.map_or(1, |older| older.version + 1)
            });
            PendingScript::Ready(script, number)
        }
        Err(faults) => match accepted.and_then(|accepted| revive(&loaded.request, accepted, settings)) {
            Some((script, number)) => PendingScript::Fallback(script, number, faults),
            None => PendingScript::Broken(faults),
        },
    };
    (newborn, loaded, problem)
}

fn revive(request: &Request, accepted: AcceptedVersion, settings: &Settings) -> Option<(Script, u64)> {
    let script = load_accepted(request, accepted.files, settings).ok()?;
    Some((script, accepted.version))
}

/// Loads a version that was accepted before, under the settings of now.
///
/// # Errors
/// Its faults under these settings.
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
