//! Runs one handler with one event outside the running rhaid, on a copy of its store.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::effect::Effect;
use crate::event::Event;
use crate::fault::Fault;
use crate::functions::{Context, Stop};
use crate::runtime::{Fired, FolderSources, bind, script_name, trigger_name};
use crate::script::{Declaration, Purpose, RunError, Script, Sources, on_script_thread};
use crate::services::clock::Clock;
use crate::services::store::{PayloadFidelity, Store};
use crate::sim::effect_log::EffectLog;
use crate::sim::environment;
use crate::triggers::TriggerContext;
use crate::value::Value;

/// The result of a local run.
#[derive(Serialize)]
pub struct LocalRun {
    /// The outcome.
    #[serde(flatten)]
    pub fired: Fired,
    /// The effects of the run; of a dry run, those that it would have.
    pub effects: Vec<Effect>,
    /// Whether the payload is complete, for a replayed event.
    pub kept: PayloadFidelity,
    /// Whether it was a dry run.
    #[serde(skip)]
    pub is_dry: bool,
    /// The reason why the brokers did not acknowledge all published messages.
    #[serde(skip)]
    pub unsent: Option<String>,
}

/// A loaded script.
pub struct LocalScript<'a> {
    config: &'a Arc<Config>,
    file: String,
    script: Script,
    is_job: bool,
}

/// The scripts folder with one file replaced.
struct ReplacedSource {
    file: String,
    text: Arc<str>,
    folder: FolderSources,
}

impl Sources for ReplacedSource {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        if file == self.file { Ok(self.text.clone()) } else { self.folder.read(file) }
    }
}

impl<'a> LocalScript<'a> {
    /// Loads a script below a folder, or returns its faults. With `edited`, the text is read from that file instead.
    ///
    /// # Errors
    /// If the file `edited` cannot be read.
    pub fn load(
        config: &'a Arc<Config>,
        root: &Path,
        file: &str,
        edited: Option<&Path>,
        zone: TimeZone,
    ) -> anyhow::Result<Result<Self, Vec<Fault>>> {
        let folder = FolderSources::new(root, config.limits.script_size);
        let sources: Arc<dyn Sources> = match edited {
            None => Arc::new(folder),
            Some(edited) => {
                let text = std::fs::read_to_string(edited).with_context(|| edited.display().to_string())?;
                Arc::new(ReplacedSource { file: file.to_owned(), text: text.into(), folder })
            }
        };
        let base = root.parent().unwrap_or(Path::new("/")).to_owned();
        let trigger_context = TriggerContext { zone, location: config.location, brokers: config.mqtt.names(), base };
        let bindings: Vec<_> = config.triggers.iter().filter(|binding| binding.job == file).collect();
        let is_job = !bindings.is_empty();
        let purpose = if is_job { Purpose::Job } else { Purpose::Handlers };
        let loaded = Script::load(file, &purpose, sources, config, &trigger_context).and_then(|mut script| {
            if is_job {
                script.declarations = bind(bindings, config, &trigger_context)?;
            }
            Ok(Self { config, file: file.to_owned(), script, is_job })
        });
        Ok(loaded)
    }

    /// Returns the triggers of the script.
    pub fn declarations(&self) -> &[Declaration] {
        &self.script.declarations
    }

    /// Returns the index of the first trigger that a predicate accepts.
    pub fn position(&self, predicate: impl Fn(&Declaration) -> bool) -> Option<usize> {
        self.script.declarations.iter().position(predicate)
    }

    /// Returns the sentence that the script has no trigger of a description, such as "trigger `hourly`"; it lists the triggers.
    pub fn missing_trigger(&self, wanted: &str) -> String {
        let names: Vec<_> = self.script.declarations.iter().map(trigger_name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
        format!("{} has no {wanted} (it has {names})", self.file)
    }

    /// Runs the handler of the trigger at an index with an event, on a copy of the store, until it ends or is cancelled. A dry run has no
    /// effects outside.
    ///
    /// # Errors
    /// If the store cannot be copied, the URL of a broker is invalid, or the script's thread cannot be started.
    pub fn run_handler(
        &self,
        at: usize,
        event: &Event,
        clock: Clock,
        is_dry: bool,
        tokio: &Runtime,
        cancel: CancellationToken,
    ) -> anyhow::Result<LocalRun> {
        let handler = self.script.declarations[at].handler;
        let effect_log = Arc::new(EffectLog::new(self.config));
        let context = {
            let _inside = tokio.enter();
            let store = Store::copy_of(&self.config.data)?;
            let context = environment::context(self.config, clock, store, effect_log.clone(), tokio.handle())?;
            Arc::new(Context { script: script_name(&self.file).into(), is_dry_run: is_dry, cancel, ..context })
        };
        let ended = on_script_thread(&self.config.limits, || match self.is_job {
            true => self.script.run(Some(event), &[], &context).map(|finished| finished.value),
            false => self.script.call(handler, event, &context),
        })?;
        let unsent = environment::flush_messages(tokio, &context).err();
        let effects = effect_log.take();
        Ok(LocalRun { fired: self.fired(ended), effects, kept: PayloadFidelity::Whole, is_dry, unsent })
    }

    fn fired(&self, ended: Result<Value, RunError>) -> Fired {
        let (outcome, value, fault) = match ended {
            Ok(value) => ("succeeded", value.to_json(), None),
            Err(RunError::Stopped(Stop::Cancelled, _)) => ("cancelled", serde_json::Value::Null, None),
            Err(RunError::Stopped(Stop::Deadline, fault)) => ("timed out", serde_json::Value::Null, Some(fault)),
            Err(RunError::Fault(fault) | RunError::Stopped(_, fault)) => {
                ("failed", serde_json::Value::Null, Some(fault))
            }
        };
        let why = fault.map(|fault| self.config.mask().apply(&fault.report()).into_owned());
        Fired { outcome: outcome.to_owned(), value, why }
    }
}
