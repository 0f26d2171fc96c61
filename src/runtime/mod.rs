//! Runtime: scripts, triggers, scheduler and executor, assembled.

mod dispatcher;
mod execute;
mod http_tap;
mod listing;
mod load;
mod punctuality;
mod registry;
mod reload;
mod repeat_filter;
mod report;
mod run_log;
mod scheduler;
mod settings;
mod sources;
mod supervisor;

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::dispatcher::Dispatcher;
use self::execute::Executor;
pub(crate) use self::execute::payload::restore_payload;
pub use self::http_tap::{HTTP_LEAD, HttpExchange};
pub use self::listing::{FolderListing, is_test, list_scripts, script_name};
pub use self::load::{bind, unreadable_job};
pub use self::punctuality::Punctuality;
use self::punctuality::PunctualityTracker;
pub(crate) use self::registry::trigger_name;
use self::report::REPLAYED;
pub use self::report::{Fired, Listed, ListedTrigger, Replayed, Status};
pub use self::run_log::{LOG_TARGET, LogLine, LogStore};
use self::settings::Settings;
pub use self::sources::FolderSources;
pub(crate) use self::sources::{FileFingerprints, Snapshot, TrackedSources};
pub use self::supervisor::ScriptSelection;
use self::supervisor::{Command, Supervisor, SyncReason};
use crate::config::{Config, Difference, Level};
use crate::fault::Fault;
use crate::services::Services;
use crate::services::files::FolderWatch;
use crate::services::store::{Error, PayloadFidelity, RunQuery, RunRecord, StateEdit, Store};
use crate::value::{Map, Value, map_of};

/// Reason why the runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `triggers:` contains an invalid trigger.
    #[error("{}", .0.iter().map(Fault::report).collect::<Vec<_>>().join("\n"))]
    Bindings(Vec<Fault>),
}

/// Running scripts with everything they need; cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    commands: mpsc::Sender<Command>,
    settings: watch::Receiver<Arc<Settings>>,
    services: Services,
    log: LogStore,
}

impl Runtime {
    /// Activates all scripts of the scripts folder, and returns when they are active.
    ///
    /// Must be called within a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the configuration is invalid. A broken script is not an error; it is logged.
    pub async fn start(config: Arc<Config>, services: Services) -> Result<Self, StartError> {
        let log = LogStore::new(services.clock.clone());
        Self::start_with(config, services, log).await
    }

    /// Starts like [`Runtime::start`], with a log store that may contain lines already.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_with(config: Arc<Config>, services: Services, log: LogStore) -> Result<Self, StartError> {
        Self::start_only(config, services, log, None).await
    }

    /// Starts like [`Runtime::start_with`], but activates only the selected scripts, now and after [`Runtime::rescan`].
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_only(
        config: Arc<Config>,
        services: Services,
        log: LogStore,
        selected: Option<ScriptSelection>,
    ) -> Result<Self, StartError> {
        let settings = Settings::new(config.clone(), &services);
        load::bind(&config.triggers, &config, &settings.trigger_context).map_err(StartError::Bindings)?;
        let folder = settings.folder.clone();
        let (change_settings, settings) = watch::channel(settings);
        services.store.set_retention(settings.borrow().retention());
        let punctuality = Arc::<PunctualityTracker>::default();
        let executor = Executor::new(services.clone(), settings.clone(), log.clone(), punctuality.clone());
        let dispatcher = Dispatcher::open((&config.limits).into(), &services, &log, executor);
        // The watch starts before the first listing, so that no change is missed between the two.
        let FolderWatch { changes, .. } = services.files.watch(&folder.clone(), move |path| is_hidden(&folder, path));
        let hold = services.mqtt.hold_connections();
        let mut supervisor =
            Supervisor::new(services.clone(), log.clone(), dispatcher, change_settings, punctuality, selected);
        supervisor.check_crashes().await;
        supervisor.sync(SyncReason::Boot).await;
        drop(hold);
        let (commands, commands_rx) = mpsc::channel(supervisor::MAX_COMMANDS);
        tokio::spawn(supervisor.run(commands_rx, changes));
        Ok(Self { commands, settings, services, log })
    }

    /// Stops all scripts: no new events; runs finish within `limits.stop`; `on_stop` handlers run; pending writes are flushed.
    pub async fn stop(&self) {
        self.services.store.mark_orderly_exit();
        self.services.mqtt.begin_shutdown();
        self.command(Command::Stop).await;
        self.services.mqtt.close().await;
        let store = self.services.store.clone();
        // The only error is a panic in the store, which was logged by the panic hook.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    /// Rescans the scripts folder, and returns when the active scripts match it.
    pub async fn rescan(&self) {
        self.command(Command::Rescan).await;
    }

    /// Waits until no event is queued or running.
    pub async fn idle(&self) {
        self.command(Command::Idle).await;
    }

    /// Cancels all runs, and returns when they have ended.
    pub async fn cancel_all(&self) {
        self.command(Command::CancelAll).await;
    }

    /// Lists the known scripts, by name.
    pub async fn list(&self) -> Vec<Listed> {
        self.command(Command::List).await.unwrap_or_default()
    }

    /// Fires a trigger manually and waits for the outcome. The fields of `data` (a value that is not a map becomes the field `data`) replace
    /// those of an example event that happens now.
    ///
    /// The trigger is selected by its name, by its kind if the script has one trigger of it, or by `None` if the script has only one.
    ///
    /// # Errors
    /// A sentence, if there is no such script or trigger.
    pub async fn fire(&self, script: &str, trigger: Option<&str>, data: Value) -> Result<Fired, String> {
        let (script, trigger) = (script.to_owned(), trigger.map(str::to_owned));
        let given = match data {
            Value::Map(payload) => payload,
            Value::Null => Map::new(),
            other => map_of([("data".to_owned(), other)]),
        };
        let found = self.command(|answer| Command::Find(script, trigger, given, answer)).await;
        let (fire, event) = found.ok_or_else(stopping)??;
        Ok(fire.ask(event).outcome().await.into())
    }

    /// Runs a handler again with an event from the run history, and waits for the outcome; the end of an identifier suffices.
    ///
    /// # Errors
    /// A sentence, if there is no such run, its payload is incomplete, or its trigger no longer exists.
    pub async fn replay(&self, id: String) -> Result<Replayed, String> {
        let found = self.row(id.clone()).await.map_err(|error| error.to_string())?;
        let row = found.ok_or_else(|| format!("there is no run {id}: `rhaid runs` lists them"))?;
        let why = match row.fidelity {
            PayloadFidelity::Whole => None,
            PayloadFidelity::Masked => Some("it contains secrets, which are masked"),
            PayloadFidelity::Cut => Some("it is larger than `history.payload` in rhaid.yaml"),
        };
        if let Some(why) = why {
            return Err(format!(
                "the stored payload of this run is incomplete: {why}; `--dry` replays the stored part"
            ));
        }
        let given = restore_payload(row.payload);
        let found = self.command(|answer| Command::Find(row.script, Some(row.trigger), given, answer)).await;
        let (fire, mut event) = found.ok_or_else(stopping)??;
        event.set_summary(format!("{}{REPLAYED}", row.event.trim_end_matches(REPLAYED)));
        let run = event.id.to_string();
        Ok(Replayed { run, fired: fire.ask(event).outcome().await.into() })
    }

    /// Enables a script, also after restarts, and closes its circuit breaker.
    ///
    /// # Errors
    /// A sentence, if there is no such script.
    pub async fn enable(&self, script: &str) -> Result<(), String> {
        let script = script.to_owned();
        self.command(|answer| Command::Enable(script, answer)).await.ok_or_else(stopping)?
    }

    /// Disables a script, also after restarts: its runs are cancelled and its `on_stop` handlers run.
    ///
    /// # Errors
    /// A sentence, if there is no such script.
    pub async fn disable(&self, script: &str) -> Result<(), String> {
        let script = script.to_owned();
        self.command(|answer| Command::Disable(script, answer)).await.ok_or_else(stopping)?
    }

    /// Applies the changeable parts of another configuration, and returns the parts that require a restart.
    ///
    /// # Errors
    /// The faults of its triggers; nothing has changed then.
    pub async fn apply(&self, config: Arc<Config>) -> Result<Difference, Vec<Fault>> {
        let answer = self.command(|answer| Command::Apply(config, answer)).await;
        answer.unwrap_or_else(|| Err(vec![Fault::new(crate::fault::SourceLocation::default(), stopping())]))
    }

    /// Returns the current configuration.
    pub fn config(&self) -> Arc<Config> {
        self.settings.borrow().config.clone()
    }

    /// Returns the recent log lines, oldest first.
    pub fn recent_logs(&self) -> Vec<Arc<LogLine>> {
        self.log.recent()
    }

    /// Subscribes to log lines from now on; a slow subscriber misses lines and receives their number.
    pub fn logs(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.log.subscribe()
    }

    /// Subscribes to the HTTP responses that scripts receive; a slow subscriber misses some and receives their number.
    pub fn tap_http(&self) -> broadcast::Receiver<Arc<HttpExchange>> {
        self.log.http_tap().subscribe()
    }

    /// Queries the run history, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRecord>, Error> {
        let store = self.services.store.clone();
        let rows = tokio::task::spawn_blocking(move || store.runs(&query)).await;
        rows.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
    }

    /// Returns the store.
    pub fn store(&self) -> Store {
        self.services.store.clone()
    }

    /// Edits state manually, and logs it. Blocks the calling thread until the edit is on disk.
    ///
    /// # Errors
    /// Those of [`Store::edit`].
    pub fn edit_state(&self, edit: &StateEdit) -> Result<(), Error> {
        self.services.store.edit(edit)?;
        let spaces: BTreeSet<&String> =
            edit.cleared.iter().chain(edit.values.iter().map(|(space, ..)| space)).collect();
        for space in spaces {
            match space.strip_prefix("script:") {
                Some(script) => self.log.write(Level::Info, script, "its state was edited manually"),
                None => self.log.write(Level::Info, "", format!("the state `{space}` was edited manually")),
            }
        }
        Ok(())
    }

    /// Returns a run record: the newest whose identifier equals or ends with `id`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn row(&self, id: String) -> Result<Option<RunRecord>, Error> {
        let store = self.services.store.clone();
        let row = tokio::task::spawn_blocking(move || store.run(&id)).await;
        row.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
    }

    async fn command<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.ok()?;
        answered.await.ok()
    }
}

fn stopping() -> String {
    "rhaid is stopping".to_owned()
}

/// Returns whether a path is hidden, except for the folder that a Kubernetes volume replaces.
fn is_hidden(folder: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(folder).unwrap_or(Path::new(""));
    below.components().any(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| name.starts_with('.') && !name.starts_with("..")),
        _ => false,
    })
}
