//! Main loop of the supervisor: commands and file changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::model::{StopReason, Supervisor, SyncReason, disabled_key};
use crate::config::{Config, Difference, Level};
use crate::event::Event;
use crate::fault::Fault;
use crate::options::nearest;
use crate::run::Skip;
use crate::runtime::registry::{ActiveScript, ScriptEntry, trigger_name};
use crate::runtime::report::{FIRED_MANUALLY, Listed, ListedTrigger, Status};
use crate::runtime::sources::FileFingerprints;
use crate::services::files::Change;
use crate::triggers::{EventSender, manual_payload};
use crate::value::{Map, Value};

/// Capacity of the command channel; senders wait while it is full.
pub(crate) const MAX_COMMANDS: usize = 64;

/// Command to the supervisor.
pub(crate) enum Command {
    /// Lists the known scripts.
    List(oneshot::Sender<Vec<Listed>>),
    /// Finds a trigger by name, by kind or because it is the only one; returns its sender and a manual event with the given fields.
    Find(String, Option<String>, Map, oneshot::Sender<Result<(EventSender, Event), String>>),
    /// Enables a script, also after restarts; closes its circuit breaker.
    Enable(String, oneshot::Sender<Result<(), String>>),
    /// Disables a script, also after restarts.
    Disable(String, oneshot::Sender<Result<(), String>>),
    /// Applies another configuration.
    Apply(Arc<Config>, oneshot::Sender<Result<Difference, Vec<Fault>>>),
    /// Synchronizes the active scripts with the scripts folder.
    Rescan(oneshot::Sender<()>),
    /// Waits until no event is queued or running.
    Idle(oneshot::Sender<()>),
    /// Cancels all runs and stops retries.
    CancelAll(oneshot::Sender<()>),
    /// Stops all scripts.
    Stop(oneshot::Sender<()>),
}

impl Supervisor {
    /// Handles commands and file changes until [`Command::Stop`].
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut changes: mpsc::Receiver<Vec<Change>>) {
        loop {
            tokio::select! {
                Some(batch) = changes.recv() => {
                    let _activity = self.services.clock.activity();
                    self.sync(self.reason_of(&batch)).await;
                }
                command = commands.recv() => match command {
                    Some(Command::Stop(done)) => {
                        drop(changes);
                        self.stop_all().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => {
                        let _activity = self.services.clock.activity();
                        self.handle_command(command).await;
                    }
                    None => return,
                }
            }
        }
    }

    /// Handles one command. The caller may have stopped waiting, so an undelivered answer is not an error.
    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::List(answer) => drop(answer.send(self.list().await)),
            Command::Find(script, trigger, given, answer) => {
                drop(answer.send(self.find(&script, trigger.as_deref(), given)));
            }
            Command::Enable(script, answer) => drop(answer.send(self.enable(&script).await)),
            Command::Disable(script, answer) => drop(answer.send(self.disable(&script).await)),
            Command::Apply(config, answer) => drop(answer.send(self.apply(config).await)),
            Command::Rescan(done) => {
                self.sync(SyncReason::Boot).await;
                let _ = done.send(());
            }
            Command::Idle(done) => {
                let dispatcher = self.dispatcher.clone();
                tokio::spawn(async move {
                    dispatcher.idle(None).await;
                    let _ = done.send(());
                });
            }
            Command::CancelAll(done) => {
                self.dispatcher.stop();
                self.dispatcher.cancel_all().await;
                let _ = done.send(());
            }
            Command::Stop(done) => drop(done.send(())),
        }
    }

    fn reason_of(&self, batch: &[Change]) -> SyncReason {
        let settings = self.settings.borrow();
        let mut files = BTreeSet::new();
        for change in batch {
            let relative = change.path.strip_prefix(&settings.folder).ok().and_then(Path::to_str);
            match relative {
                // A Kubernetes volume replaces the folder `..data`, the target of the links that all its files are.
                Some(relative) if !relative.is_empty() && !relative.starts_with("..") => {
                    files.insert(relative.replace(std::path::MAIN_SEPARATOR, "/"));
                }
                _ => return SyncReason::Everything,
            }
        }
        SyncReason::FilesChanged(files)
    }

    async fn list(&self) -> Vec<Listed> {
        let mut list = Vec::new();
        let now = self.services.clock.now_zoned();
        for (name, entry) in &self.registry {
            let mut listed = Listed::new(name, entry);
            if let Some(active) = &entry.active {
                let load = self.dispatcher.load(active.queue);
                (listed.waiting, listed.running, listed.paused_until) = (load.waiting, load.running, load.paused_until);
                if load.paused_until.is_some() {
                    listed.status = Status::Paused;
                }
                let triggers = active.version.script.declarations.iter().map(|declared| {
                    let times = self.punctuality.of(name, &trigger_name(declared));
                    ListedTrigger { times, ..ListedTrigger::new(declared, &now) }
                });
                listed.triggers = triggers.collect();
            }
            list.push(listed);
        }
        list
    }

    fn find(&self, script: &str, trigger: Option<&str>, given: Map) -> Result<(EventSender, Event), String> {
        let entry = self.entry(script)?;
        let Some(active) = &entry.active else {
            let reason = match (entry.is_disabled, entry.is_quarantined) {
                (true, _) => "is disabled",
                (_, true) => "is in quarantine: `rhaid enable` ends it",
                _ => "was rejected, and no earlier version runs",
            };
            return Err(format!("`{script}` {reason}"));
        };
        let at = find_trigger(script, active, trigger)?;
        let services = &active.settings.services;
        let payload = manual_payload(&*active.version.script.declarations[at].trigger, given, services);
        let event = Event::new(services.clock.now(), FIRED_MANUALLY, payload);
        let inbox = self.dispatcher.inbox();
        Ok((EventSender::new(active.triggers[at].id, script.into(), inbox, services.clock.clone()), event))
    }

    fn entry(&self, script: &str) -> Result<&ScriptEntry, String> {
        self.registry.get(script).ok_or_else(|| {
            let near = nearest(script, self.registry.keys().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            format!("there is no script `{script}`{near}")
        })
    }

    async fn enable(&mut self, script: &str) -> Result<(), String> {
        let (was_disabled, queue) = {
            let entry = self.entry(script)?;
            (entry.is_disabled || entry.is_quarantined, entry.active.as_ref().map(|active| active.queue))
        };
        if !was_disabled {
            if let Some(queue) = queue {
                self.dispatcher.resume(queue);
            }
            return Ok(());
        }
        self.end_quarantine(script);
        self.store_disabled(script, false).await;
        self.registry.get_mut(script).into_iter().for_each(|entry| entry.is_disabled = false);
        self.sync(SyncReason::Enabled(script.to_owned())).await;
        Ok(())
    }

    async fn disable(&mut self, script: &str) -> Result<(), String> {
        self.entry(script)?;
        self.store_disabled(script, true).await;
        let Some(entry) = self.registry.get_mut(script) else { return Ok(()) };
        entry.is_disabled = true;
        entry.rejected = None;
        // Without fingerprints the script is loaded in any case when it is enabled again.
        entry.fingerprints = FileFingerprints::default();
        if let Some(active) = entry.active.take() {
            self.retire(script, active, Skip::Disabled, StopReason::Disabled).await;
        }
        self.log.write(Level::Info, script, format!("disabled {script}"));
        Ok(())
    }

    /// Stores whether a script is disabled, before the command is answered.
    async fn store_disabled(&self, script: &str, is_disabled: bool) {
        let store = self.services.store.clone();
        store.set_metadata(&disabled_key(script), is_disabled.then_some(Value::Bool(true)));
        // The writer thread logs errors and retries.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    async fn stop_all(&mut self) {
        self.dispatcher.stop();
        let active: Vec<_> =
            self.registry.iter_mut().filter_map(|(name, entry)| Some((name.clone(), entry.active.take()?))).collect();
        for (name, active) in active {
            self.retire(&name, active, Skip::Stopping, StopReason::Stopping).await;
        }
        for (_, task) in std::mem::take(&mut self.retiring) {
            // A panic of the task was logged by the panic hook.
            let _ = task.await;
        }
    }
}

/// Returns the index of a trigger: by name, by kind if it is the only one of it, or the only trigger of the script.
fn find_trigger(script: &str, active: &ActiveScript, trigger: Option<&str>) -> Result<usize, String> {
    let declarations = &active.version.script.declarations;
    let names: Vec<String> = declarations.iter().map(trigger_name).collect();
    let known = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let at = match trigger {
        Some(wanted) => names.iter().position(|name| name == wanted).or_else(|| {
            let mut of_kind = (0..names.len()).filter(|at| declarations[*at].kind == wanted);
            of_kind.next().filter(|_| of_kind.next().is_none())
        }),
        None => Some(0).filter(|_| names.len() == 1),
    };
    at.ok_or_else(|| match (trigger, names.is_empty()) {
        (_, true) => format!("`{script}` has no trigger"),
        (Some(wanted), _) => format!("`{script}` has no trigger `{wanted}`: it has {}", known()),
        (None, _) => format!("`{script}` has several triggers, name one of them: {}", known()),
    })
}
