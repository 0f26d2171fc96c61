//! Registry of known scripts: active, rejected and disabled ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scheduler::{QueueId, Target};
use super::settings::Settings;
use super::sources::FileFingerprints;
use crate::event::Event;
use crate::fault::{Fault, SourceLocation};
use crate::functions::Context;
use crate::script::{RunError, Script};
use crate::triggers::{TriggerId, Watch};
use crate::value::Value;

/// All known scripts, by name.
pub(crate) type Registry = BTreeMap<String, ScriptEntry>;

/// Accepted version of a script.
pub(crate) struct ScriptVersion {
    /// Version number: counts from 1, across restarts.
    pub(crate) number: u64,
    /// The script; the bindings of a job are among its declarations.
    pub(crate) script: Script,
    /// Whether it is a job, which runs as a whole.
    pub(crate) is_job: bool,
}

impl ScriptVersion {
    /// Calls a handler, or runs the whole job.
    pub(crate) fn call(&self, handler: usize, event: &Event, context: &Arc<Context>) -> Result<Value, RunError> {
        if !self.is_job {
            return self.script.call(handler, event, context);
        }
        let finished = self.script.run(Some(event), &[], context)?;
        if finished.code == 0 {
            return Ok(finished.value);
        }
        let text = format!("the job ended with exit({})", finished.code);
        Err(RunError::Fault(Box::new(Fault { kind: "exit".into(), ..Fault::new(self.location(), text) })))
    }

    /// Returns the location that stands for the whole file.
    pub(crate) fn location(&self) -> SourceLocation {
        let file = self.script.files.first().map(|(file, _)| file.clone()).unwrap_or_default();
        SourceLocation { file, ..SourceLocation::default() }
    }
}

/// Known script.
pub(crate) struct ScriptEntry {
    /// File, relative to the scripts folder.
    pub(crate) file: String,
    /// Whether `triggers:` binds it as a job.
    pub(crate) is_job: bool,
    /// Active version and triggers, if it is active.
    pub(crate) active: Option<ActiveScript>,
    /// Faults of the newest version, if that was rejected.
    pub(crate) rejected: Option<Vec<Fault>>,
    /// Fingerprints of the files that the last load read.
    pub(crate) fingerprints: FileFingerprints,
    /// Whether it was disabled manually.
    pub(crate) is_disabled: bool,
    /// Whether it is quarantined after crashes of the process.
    pub(crate) is_quarantined: bool,
}

impl ScriptEntry {
    pub(crate) fn new(file: String, is_job: bool) -> Self {
        Self {
            file,
            is_job,
            active: None,
            rejected: None,
            fingerprints: FileFingerprints::default(),
            is_disabled: false,
            is_quarantined: false,
        }
    }
}

/// Active script.
pub(crate) struct ActiveScript {
    /// Queue of its events.
    pub(crate) queue: QueueId,
    /// Active version.
    pub(crate) version: Arc<ScriptVersion>,
    /// Triggers, in the order of the version's declarations.
    pub(crate) triggers: Vec<ActiveTrigger>,
    /// Settings with which its watches were started.
    pub(crate) settings: Arc<Settings>,
}

/// Active trigger.
pub(crate) struct ActiveTrigger {
    /// Identifier; kept over reloads that do not change the trigger.
    pub(crate) id: TriggerId,
    /// Running watch; `None` if it is disabled.
    pub(crate) watch: Option<Watch>,
}

impl ActiveScript {
    /// Returns the destinations of its triggers' events.
    pub(crate) fn targets(&self) -> Vec<(TriggerId, Target)> {
        let declared = self.version.script.declarations.iter();
        let target = |declared: &crate::script::Declaration| Target {
            name: trigger_name(declared).into(),
            handler: declared.handler,
            policy: declared.policy.clone(),
        };
        self.triggers.iter().zip(declared).map(|(trigger, declared)| (trigger.id, target(declared))).collect()
    }
}

/// Returns the name of a trigger within its script.
pub(crate) fn trigger_name(declared: &crate::script::Declaration) -> String {
    declared.policy.name.clone().unwrap_or_else(|| declared.trigger.summary())
}
