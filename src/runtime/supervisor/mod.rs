//! Keeps the house: brings scripts to life, exchanges them when their files change, and lets them go.

mod config;
mod group;
mod life;
mod pending_script;
mod quarantine;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use self::life::StopReason;
pub(crate) use self::sync::Why;
use super::dispatcher::Dispatcher;
use super::expected::Expected;
use super::registry::{Registry, name_of};
use super::report::{Listed, ListedTrigger, Status};
use super::run_log::LogStore;
use super::settings::Settings;
use super::sources::Seen;
use crate::config::{Config, Difference, Level};
use crate::event::Event;
use crate::fault::Fault;
use crate::run::Skip;
use crate::services::Services;
use crate::services::files::Change;
use crate::triggers::{EventSender, manual_payload};
use crate::value::{Map, Value};

/// How many orders may wait; who gives one waits while it is full.
pub(crate) const ORDERS: usize = 64;

/// What the house is told to do.
pub(crate) enum Command {
    /// Tells what scripts there are.
    List(oneshot::Sender<Vec<Listed>>),
    /// Finds the voice of a trigger, by name or the only one, and puts its event together from facts that are given.
    Find(String, Option<String>, Map, oneshot::Sender<Result<(EventSender, Event), String>>),
    /// Lets a script run again, also after restarts; ends a pause.
    Enable(String, oneshot::Sender<Result<(), String>>),
    /// Lets a script run no more, also after restarts.
    Disable(String, oneshot::Sender<Result<(), String>>),
    /// Applies another config.
    Apply(Arc<Config>, oneshot::Sender<Result<Difference, Vec<Fault>>>),
    /// Brings what lives in step with the folder.
    Look(oneshot::Sender<()>),
    /// Waits until nothing runs or waits to run.
    Idle(oneshot::Sender<()>),
    /// Cancels all runs, and tries nothing again.
    CutOff(oneshot::Sender<()>),
    /// Lets everything go.
    Stop(oneshot::Sender<()>),
}

/// The names of those scripts that may live, of all that lie in the folder.
pub type Chosen = Arc<Mutex<BTreeSet<String>>>;

/// The one who keeps the house.
pub(crate) struct Supervisor {
    pub(super) services: Services,
    pub(super) lines: LogStore,
    pub(super) desk: Dispatcher,
    pub(super) settings: watch::Sender<Arc<Settings>>,
    expected: Arc<Expected>,
    registry: Registry,
    last_lane: u64,
    last_trigger: u64,
    /// Lives that are coming to their end, by script.
    retiring: BTreeMap<String, JoinHandle<()>>,
    /// Whether the scripts folder could not be read when it was last looked at.
    is_folder_gone: bool,
    /// Who may live; `None`: all.
    chosen: Option<Chosen>,
}

impl Supervisor {
    pub(crate) fn new(
        services: Services,
        lines: LogStore,
        desk: Dispatcher,
        settings: watch::Sender<Arc<Settings>>,
        expected: Arc<Expected>,
        chosen: Option<Chosen>,
    ) -> Self {
        Self {
            services,
            lines,
            desk,
            settings,
            expected,
            registry: Registry::new(),
            last_lane: 0,
            last_trigger: 0,
            retiring: BTreeMap::new(),
            is_folder_gone: false,
            chosen,
        }
    }

    /// Follows orders and changes of files until it is told to stop.
    pub(crate) async fn keep(mut self, mut orders: mpsc::Receiver<Command>, mut changes: mpsc::Receiver<Vec<Change>>) {
        loop {
            tokio::select! {
                Some(batch) = changes.recv() => {
                    let _busy = self.services.clock.activity();
                    self.sync(self.touched(&batch)).await;
                }
                order = orders.recv() => match order {
                    Some(Command::Stop(done)) => {
                        drop(changes);
                        self.let_all_go().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(order) => {
                        let _busy = self.services.clock.activity();
                        self.follow(order).await;
                    }
                    None => return,
                }
            }
        }
    }

    /// Who asked may have stopped waiting: that an answer is not taken is no fault.
    async fn follow(&mut self, order: Command) {
        match order {
            Command::List(answer) => drop(answer.send(self.list().await)),
            Command::Find(script, trigger, given, answer) => {
                drop(answer.send(self.find(&script, trigger.as_deref(), given)));
            }
            Command::Enable(script, answer) => drop(answer.send(self.enable(&script).await)),
            Command::Disable(script, answer) => drop(answer.send(self.disable(&script).await)),
            Command::Apply(config, answer) => drop(answer.send(self.apply(config).await)),
            Command::Look(done) => {
                self.sync(Why::Boot).await;
                let _ = done.send(());
            }
            Command::Idle(done) => {
                let desk = self.desk.clone();
                tokio::spawn(async move {
                    desk.idle(None).await;
                    let _ = done.send(());
                });
            }
            Command::CutOff(done) => {
                self.desk.stop();
                self.desk.cut_off().await;
                let _ = done.send(());
            }
            Command::Stop(done) => drop(done.send(())),
        }
    }

    /// Returns whether a script may live.
    pub(super) fn is_chosen(&self, name: &str) -> bool {
        let lock = |chosen: &Chosen| chosen.lock().contains(name);
        self.chosen.as_ref().is_none_or(lock)
    }

    fn touched(&self, batch: &[Change]) -> Why {
        let settings = self.settings.borrow();
        let mut files = BTreeSet::new();
        for change in batch {
            let relative = change.path.strip_prefix(&settings.folder).ok().and_then(Path::to_str);
            match relative {
                // A Kubernetes volume exchanges the folder `..data`, which all its files are links into.
                Some(relative) if !relative.is_empty() && !relative.starts_with("..") => {
                    files.insert(relative.replace(std::path::MAIN_SEPARATOR, "/"));
                }
                _ => return Why::Everything,
            }
        }
        Why::Touched(files)
    }

    async fn list(&self) -> Vec<Listed> {
        let mut list = Vec::new();
        let now = self.services.clock.now_zoned();
        for (name, entry) in &self.registry {
            let mut listed = Listed::new(name, entry);
            if let Some(life) = &entry.life {
                let load = self.desk.load(life.lane);
                (listed.waiting, listed.running, listed.paused_until) = (load.waiting, load.running, load.paused_until);
                if load.paused_until.is_some() {
                    listed.status = Status::Paused;
                }
                let declared = &life.version.script.declarations;
                listed.triggers = declared
                    .iter()
                    .map(|declared| {
                        let times = self.expected.times(name, &name_of(declared));
                        ListedTrigger { times, ..ListedTrigger::new(declared, &now) }
                    })
                    .collect();
            }
            list.push(listed);
        }
        list
    }

    fn find(&self, script: &str, trigger: Option<&str>, given: Map) -> Result<(EventSender, Event), String> {
        let entry = self.entry(script)?;
        let Some(life) = &entry.life else {
            let why = match (entry.is_disabled, entry.is_quarantined) {
                (true, _) => "is disabled",
                (_, true) => "is in quarantine: `rhaid enable` lets it run again",
                _ => "was rejected and has no version that runs",
            };
            return Err(format!("`{script}` {why}"));
        };
        let names: Vec<String> = life.version.script.declarations.iter().map(name_of).collect();
        let known = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let at = match trigger {
            Some(wanted) => names.iter().position(|name| name == wanted).or_else(|| {
                let mut of_kind = (0..names.len()).filter(|at| life.version.script.declarations[*at].kind == wanted);
                of_kind.next().filter(|_| of_kind.next().is_none())
            }),
            None => Some(0).filter(|_| names.len() == 1),
        };
        let at = at.ok_or_else(|| match (trigger, names.is_empty()) {
            (_, true) => format!("`{script}` has no trigger"),
            (Some(wanted), _) => format!("`{script}` has no trigger `{wanted}`: it has {}", known()),
            (None, _) => format!("`{script}` has several triggers, say which: {}", known()),
        })?;
        let services = &life.settings.services;
        let payload = manual_payload(&*life.version.script.declarations[at].trigger, given, services);
        let event = Event::new(services.clock.now_zoned(), "fired by hand", payload);
        Ok((EventSender::new(life.triggers[at].id, script.into(), self.desk.inbox(), services.clock.clone()), event))
    }

    fn entry(&self, script: &str) -> Result<&super::registry::Entry, String> {
        self.registry.get(script).ok_or_else(|| {
            let near = crate::options::nearest(script, self.registry.keys().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            format!("there is no script `{script}`{near}")
        })
    }

    async fn enable(&mut self, script: &str) -> Result<(), String> {
        let (was_disabled, lane) = {
            let entry = self.entry(script)?;
            (entry.is_disabled || entry.is_quarantined, entry.life.as_ref().map(|life| life.lane))
        };
        if !was_disabled {
            if let Some(lane) = lane {
                self.desk.resume(lane);
            }
            return Ok(());
        }
        self.release(script);
        self.keep_disabled(script, false).await;
        self.registry.get_mut(script).into_iter().for_each(|entry| entry.is_disabled = false);
        self.sync(Why::Enabled(script.to_owned())).await;
        Ok(())
    }

    async fn disable(&mut self, script: &str) -> Result<(), String> {
        self.entry(script)?;
        self.keep_disabled(script, true).await;
        let Some(entry) = self.registry.get_mut(script) else { return Ok(()) };
        entry.is_disabled = true;
        entry.rejected = None;
        // When it is enabled again, it is loaded in any case.
        entry.seen = Seen::default();
        if let Some(life) = entry.life.take() {
            self.retire(script, life, Skip::Disabled, StopReason::Disabled).await;
        }
        self.lines.say(Level::Info, script, format!("disabled {script}"));
        Ok(())
    }

    /// Keeps on disk whether a script is disabled, before anyone is told that it is.
    async fn keep_disabled(&self, script: &str, is_disabled: bool) {
        let store = self.services.store.clone();
        store.set_metadata(&disabled_key(script), is_disabled.then_some(Value::Bool(true)));
        // The writer says what goes wrong, and tries again.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    async fn let_all_go(&mut self) {
        self.desk.stop();
        let lives: Vec<_> =
            self.registry.iter_mut().filter_map(|(name, entry)| Some((name.clone(), entry.life.take()?))).collect();
        for (name, life) in lives {
            self.retire(&name, life, Skip::Stopping, StopReason::Stopping).await;
        }
        for (_, end) in std::mem::take(&mut self.retiring) {
            // A task that panicked has said so.
            let _ = end.await;
        }
    }
}

/// The key under which the store keeps that a script is disabled.
pub(crate) fn disabled_key(script: &str) -> String {
    format!("disabled:{script}")
}
