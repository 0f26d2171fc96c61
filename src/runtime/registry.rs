//! The scripts that are known: those that live, those that were rejected, those that are disabled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scheduler::{QueueId, Target};
use super::settings::Settings;
use super::sources::Seen;
use crate::event::Event;
use crate::fault::{Fault, SourceLocation};
use crate::functions::Context;
use crate::script::{RunError, Script};
use crate::triggers::{TriggerId, Watch};
use crate::value::Value;

/// Every script that is known, by name.
pub(crate) type Registry = BTreeMap<String, Entry>;

/// A version of a script that was accepted.
pub(crate) struct Version {
    /// Counts up from 1, over restarts.
    pub(crate) number: u64,
    /// What it is; a job's bindings are among what it declared.
    pub(crate) script: Script,
    /// Whether it runs whole.
    pub(crate) is_job: bool,
}

impl Version {
    /// Runs a handler, or the whole job.
    pub(crate) fn call(&self, handler: usize, event: &Event, context: &Arc<Context>) -> Result<Value, RunError> {
        if !self.is_job {
            return self.script.call(handler, event, context);
        }
        let finished = self.script.run(Some(event), &[], context)?;
        if finished.code == 0 {
            return Ok(finished.value);
        }
        let text = format!("the job ended with exit({})", finished.code);
        Err(RunError::Fault(Box::new(Fault { kind: "exit".into(), ..Fault::new(self.place(), text) })))
    }

    /// Returns the place that stands for the whole file.
    pub(crate) fn place(&self) -> SourceLocation {
        let file = self.script.files.first().map(|(file, _)| file.clone()).unwrap_or_default();
        SourceLocation { file, ..SourceLocation::default() }
    }
}

/// A script that is known.
pub(crate) struct Entry {
    /// Its file below the scripts folder.
    pub(crate) file: String,
    /// Whether `triggers:` binds it, so that it runs whole.
    pub(crate) is_job: bool,
    /// What goes on, if it is live.
    pub(crate) life: Option<Life>,
    /// Why the newest version is not the live one.
    pub(crate) rejected: Option<Vec<Fault>>,
    /// What the last load read.
    pub(crate) seen: Seen,
    /// Whether it was disabled by hand.
    pub(crate) is_disabled: bool,
    /// Whether it was set aside after crashes of the process.
    pub(crate) is_quarantined: bool,
}

impl Entry {
    pub(crate) fn new(file: String, is_job: bool) -> Self {
        Self {
            file,
            is_job,
            life: None,
            rejected: None,
            seen: Seen::default(),
            is_disabled: false,
            is_quarantined: false,
        }
    }
}

/// A script that is live.
pub(crate) struct Life {
    /// Where its events go.
    pub(crate) lane: QueueId,
    /// The version that runs.
    pub(crate) version: Arc<Version>,
    /// Its triggers, in the order of what the version declared.
    pub(crate) triggers: Vec<Live>,
    /// What held when its watches began.
    pub(crate) settings: Arc<Settings>,
}

/// A trigger that is live.
pub(crate) struct Live {
    /// Its name within the process; stays over reloads that do not change it.
    pub(crate) id: TriggerId,
    /// What watches; `None` if it is disabled.
    pub(crate) watch: Option<Watch>,
}

impl Life {
    /// Returns where the events of its triggers go.
    pub(crate) fn targets(&self) -> Vec<(TriggerId, Target)> {
        let declared = self.version.script.declarations.iter();
        let target = |declared: &crate::script::Declaration| Target {
            name: name_of(declared).into(),
            handler: declared.handler,
            policy: declared.policy.clone(),
        };
        self.triggers.iter().zip(declared).map(|(live, declared)| (live.id, target(declared))).collect()
    }
}

/// Returns a trigger's name within its script.
pub(crate) fn name_of(declared: &crate::script::Declaration) -> String {
    declared.policy.name.clone().unwrap_or_else(|| declared.trigger.summary())
}
