//! Runs one handler with one event outside the running rhaid, on a copy of its store: `rhaid try` and `rhaid replay --dry`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::cli::environment;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::fire::{self, shown};
use crate::cli::run_info::row;
use crate::cli::table::aligned;
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::config::{Config, Level};
use crate::effect::Effect;
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::functions::{Context, RunLog, Stop};
use crate::runtime::{Fired, FolderSources, bind, script_name, trigger_name};
use crate::script::{self, Declaration, Purpose, RunError, Script, Sources};
use crate::services::clock::Clock;
use crate::services::store::{PayloadFidelity, Store};
use crate::triggers::TriggerContext;
use crate::value::Value;

/// The result of a local run.
#[derive(Serialize)]
pub(super) struct LocalRun {
    #[serde(flatten)]
    pub(super) fired: Fired,
    pub(super) effects: Vec<Effect>,
    /// Whether the payload is complete, for a replayed event.
    pub(super) kept: PayloadFidelity,
    #[serde(skip)]
    is_dry: bool,
    /// Whether the brokers acknowledged all published messages.
    #[serde(skip)]
    is_sent: bool,
}

impl LocalRun {
    /// Prints the result; returns the exit code.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<ExitCode> {
        if as_json {
            terminal::print_json(self)?;
        } else {
            terminal::print(&self.text());
        }
        Ok(if self.is_sent { fire::code(&self.fired) } else { ExitCode::from(FAILURE) })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        match self.kept {
            PayloadFidelity::Whole => {}
            PayloadFidelity::Masked => text
                .push_str(&format!("{} secrets in the payload are replaced by ***\n", paint(Style::Warning, "note"))),
            PayloadFidelity::Cut => {
                text.push_str(&format!("{} the recorded payload is truncated\n", paint(Style::Warning, "note")))
            }
        }
        if !self.effects.is_empty() {
            let rows: Vec<_> = self.effects.iter().map(|effect| row(effect, true)).collect();
            let title = if self.is_dry { "planned effects" } else { "effects" };
            text.push_str(&format!("{}\n{}", paint(Style::Heading, title), aligned(&rows)));
        }
        text.push_str(&shown(&self.fired));
        text
    }
}

/// A loaded script.
pub(super) struct LocalScript<'a> {
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
    pub(super) fn load(
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
    pub(super) fn declarations(&self) -> &[Declaration] {
        &self.script.declarations
    }

    /// Returns the index of the first trigger that a predicate accepts.
    pub(super) fn position(&self, predicate: impl Fn(&Declaration) -> bool) -> Option<usize> {
        self.script.declarations.iter().position(predicate)
    }

    /// Returns the error that the script has no trigger of a description, such as "trigger `hourly`"; it lists the triggers.
    pub(super) fn no_such(&self, wanted: &str) -> UsageError {
        let names: Vec<_> = self.script.declarations.iter().map(trigger_name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
        UsageError(sanitize(&format!("{} has no {wanted} (it has {names})", self.file)))
    }

    /// Runs the handler of the trigger at an index with an event, on a copy of the store. A dry run has no effects outside.
    pub(super) fn run_handler(&self, at: usize, event: &Event, clock: Clock, is_dry: bool) -> anyhow::Result<LocalRun> {
        let handler = self.script.declarations[at].handler;
        let tokio = environment::tokio_runtime()?;
        let effect_log =
            Arc::new(EffectLog { config: self.config.clone(), started: Instant::now(), effects: Mutex::default() });
        let context = {
            let _inside = tokio.enter();
            let store = Store::copy_of(&self.config.data)?;
            let context = environment::context(self.config, clock, store, effect_log.clone(), tokio.handle())?;
            Arc::new(Context { script: script_name(&self.file).into(), is_dry_run: is_dry, ..context })
        };
        environment::cancel_on_interrupt(&tokio, &context);
        let ended = script::on_script_thread(&self.config.limits, || match self.is_job {
            true => self.script.run(Some(event), &[], &context).map(|finished| finished.value),
            false => self.script.call(handler, event, &context),
        })?;
        let is_sent = environment::flush_messages(&tokio, &context);
        let effects = std::mem::take(&mut *effect_log.effects.lock());
        Ok(LocalRun { fired: self.fired(ended), effects, kept: PayloadFidelity::Whole, is_dry, is_sent })
    }

    fn fired(&self, ended: Result<Value, RunError>) -> Fired {
        let (outcome, value, fault) = match ended {
            Ok(value) => ("succeeded", value.to_json(), None),
            Err(RunError::Stopped(Stop::Cancelled, _)) => ("cancelled", Json::Null, None),
            Err(RunError::Stopped(Stop::Deadline, fault)) => ("timed out", Json::Null, Some(fault)),
            Err(RunError::Fault(fault) | RunError::Stopped(_, fault)) => ("failed", Json::Null, Some(fault)),
        };
        let why = fault.map(|fault| self.config.mask().apply(&fault.report()).into_owned());
        Fired { outcome: outcome.to_owned(), value, why }
    }
}

/// Prints the faults of a script that cannot be loaded; returns the script otherwise.
pub(super) fn loaded_or_print_faults<T>(loaded: Result<T, Vec<Fault>>) -> Option<T> {
    loaded.map_err(|faults| terminal::print_error(&format!("{}\n", sanitize(&fault::reports(&faults))))).ok()
}

/// Run log that collects the effects and log lines of a run.
struct EffectLog {
    config: Arc<Config>,
    started: Instant,
    effects: Mutex<Vec<Effect>>,
}

impl RunLog for EffectLog {
    fn log_line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        let text = fields.iter().fold(text.to_owned(), |text, (name, value)| format!("{text} {name}={value}"));
        self.record_effect(Effect::new(level.word(), text));
    }

    fn record_effect(&self, mut effect: Effect) {
        let mask = self.config.mask();
        effect.after = self.started.elapsed().saturating_sub(effect.took);
        effect.details = mask.apply(&effect.details).into_owned();
        effect.fault = mask.apply(&effect.fault).into_owned();
        self.effects.lock().push(effect);
    }
}
