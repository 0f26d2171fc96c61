//! The moving parts, wired.

mod dispatcher;
mod execute;
mod expected;
mod http_tap;
mod load;
mod registry;
mod reload;
mod repeats;
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
pub(crate) use self::execute::payload::restored;
use self::expected::Expected;
pub use self::expected::Times;
pub use self::http_tap::{Answered, LEAD};
pub use self::load::{bind, unreadable_job};
pub(crate) use self::registry::name_of;
pub use self::report::{Fired, Listed, ListedTrigger, Replayed, Status};
pub use self::run_log::{LOG_TARGET, LogLine, LogStore};
use self::settings::Settings;
pub use self::sources::{FolderSources, Listing, is_test, list_scripts, script_name};
pub(crate) use self::sources::{Seen, Snapshot, Watched};
pub use self::supervisor::Chosen;
use self::supervisor::{Command, Supervisor, Why};
use crate::config::{Config, Difference, Level};
use crate::fault::Fault;
use crate::services::Services;
use crate::services::files::FolderWatch;
use crate::services::store::{Error, PayloadFidelity, RunQuery, RunRecord, StateEdit, Store};
use crate::value::{Map, Value, map_of};

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `triggers:` binds what is no trigger.
    #[error("{}", .0.iter().map(Fault::report).collect::<Vec<_>>().join("\n"))]
    Bindings(Vec<Fault>),
}

/// All moving parts, wired: scripts live as long as this runs; cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    orders: mpsc::Sender<Command>,
    settings: watch::Receiver<Arc<Settings>>,
    services: Services,
    lines: LogStore,
}

impl Runtime {
    /// Brings every script in the folder to life, and returns when they are.
    ///
    /// Must be called within a tokio runtime of several threads.
    ///
    /// # Errors
    /// [`StartError`] if the config can not be carried out; a script that is broken is no such error, but a line in the log.
    pub async fn start(config: Arc<Config>, services: Services) -> Result<Self, StartError> {
        let lines = LogStore::new(services.clock.clone());
        Self::start_with(config, services, lines).await
    }

    /// As [`Runtime::start`], with a log book in which lines may be already.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_with(config: Arc<Config>, services: Services, lines: LogStore) -> Result<Self, StartError> {
        Self::start_only(config, services, lines, None).await
    }

    /// As [`Runtime::start_with`], but of the scripts in the folder only those that are chosen live, now or after [`Runtime::look`].
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_only(
        config: Arc<Config>,
        services: Services,
        lines: LogStore,
        chosen: Option<Chosen>,
    ) -> Result<Self, StartError> {
        let settings = Settings::new(config.clone(), &services);
        load::bind(&config.triggers, &config, &settings.trigger_context).map_err(StartError::Bindings)?;
        let folder = settings.folder.clone();
        let (change_settings, settings) = watch::channel(settings);
        services.store.set_retention(settings.borrow().keep());
        let expected = Arc::<Expected>::default();
        let executor = Executor::new(services.clone(), settings.clone(), lines.clone(), expected.clone());
        let desk = Dispatcher::open((&config.limits).into(), &services, &lines, executor);
        // Watching begins before the first look, so that no change falls between the two.
        let FolderWatch { changes, .. } = services.files.watch(&folder.clone(), move |path| is_hidden(&folder, path));
        let hold = services.mqtt.hold_connections();
        let mut house = Supervisor::new(services.clone(), lines.clone(), desk, change_settings, expected, chosen);
        house.look_back().await;
        house.sync(Why::Boot).await;
        drop(hold);
        let (orders, ordered) = mpsc::channel(supervisor::ORDERS);
        tokio::spawn(house.keep(ordered, changes));
        Ok(Self { orders, settings, services, lines })
    }

    /// Lets everything go: no new events, runs finish up to `limits.stop`, `on_stop` handlers run, what waits is written to disk.
    pub async fn stop(&self) {
        self.services.store.mark_orderly_exit();
        self.services.mqtt.begin_shutdown();
        self.order(Command::Stop).await;
        self.services.mqtt.close().await;
        let store = self.services.store.clone();
        // Only a panic in the store could be told here, and it has been.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    /// Looks at the scripts folder anew, and returns when what lives is in step with it.
    pub async fn look(&self) {
        self.order(Command::Look).await;
    }

    /// Waits until nothing runs or waits to run.
    pub async fn idle(&self) {
        self.order(Command::Idle).await;
    }

    /// Cancels all runs, and returns when they have ended.
    pub async fn cut_off(&self) {
        self.order(Command::CutOff).await;
    }

    /// Lists the scripts that are known, by name.
    pub async fn list(&self) -> Vec<Listed> {
        self.order(Command::List).await.unwrap_or_default()
    }

    /// Wakes a handler by hand, with these facts (a value that is no map becomes the fact `data`) and else those of an event that
    /// happens now, and waits for the outcome.
    ///
    /// The trigger is meant by its name, or by its kind if there is one of it, and may be left out if there is only one.
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
        let found = self.order(|answer| Command::Find(script, trigger, given, answer)).await;
        let (fire, event) = found.ok_or_else(stopping)??;
        Ok(fire.ask(event).outcome().await.into())
    }

    /// Wakes a handler again with an event of the ledger, and waits for the outcome; the id may be the end of one.
    ///
    /// # Errors
    /// A sentence, if there is no such run, its event was not kept whole, or its trigger is there no more.
    pub async fn replay(&self, id: String) -> Result<Replayed, String> {
        let found = self.row(id.clone()).await.map_err(|error| error.to_string())?;
        let row = found.ok_or_else(|| format!("there is no run {id}: `rhaid runs` lists them"))?;
        let why = match row.fidelity {
            PayloadFidelity::Whole => None,
            PayloadFidelity::Masked => Some("there are secrets in it, which are hidden"),
            PayloadFidelity::Cut => Some("it is longer than `history.payload` in rhaid.yaml"),
        };
        if let Some(why) = why {
            return Err(format!("what woke this run is not kept whole: {why}; `--dry` shows what can be shown"));
        }
        let given = restored(row.payload);
        let found = self.order(|answer| Command::Find(row.script, Some(row.trigger), given, answer)).await;
        let (fire, mut event) = found.ok_or_else(stopping)??;
        event.summary = format!("{} (replayed)", row.event.trim_end_matches(" (replayed)"));
        let run = event.id.to_string();
        Ok(Replayed { run, fired: fire.ask(event).outcome().await.into() })
    }

    /// Lets a disabled script run again, also after restarts, and ends a pause of the breaker.
    ///
    /// # Errors
    /// A sentence, if there is no such script.
    pub async fn enable(&self, script: &str) -> Result<(), String> {
        let script = script.to_owned();
        self.order(|answer| Command::Enable(script, answer)).await.ok_or_else(stopping)?
    }

    /// Lets a script run no more, also after restarts: its runs are cancelled, its `on_stop` runs.
    ///
    /// # Errors
    /// A sentence, if there is no such script.
    pub async fn disable(&self, script: &str) -> Result<(), String> {
        let script = script.to_owned();
        self.order(|answer| Command::Disable(script, answer)).await.ok_or_else(stopping)?
    }

    /// Applies what can be applied of another config, and tells what holds only after a restart.
    ///
    /// # Errors
    /// The faults of its triggers; then nothing has changed.
    pub async fn apply(&self, config: Arc<Config>) -> Result<Difference, Vec<Fault>> {
        let answer = self.order(|answer| Command::Apply(config, answer)).await;
        answer.unwrap_or_else(|| Err(vec![Fault::new(crate::fault::SourceLocation::default(), stopping())]))
    }

    /// Returns the config that holds now.
    pub fn config(&self) -> Arc<Config> {
        self.settings.borrow().config.clone()
    }

    /// Returns the last lines of the log, oldest first.
    pub fn recent_logs(&self) -> Vec<Arc<LogLine>> {
        self.lines.recent()
    }

    /// Follows the log from now on; who is too slow misses lines and is told how many.
    pub fn logs(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.lines.follow()
    }

    /// Hears the answers of servers to scripts from now on; who is too slow misses some and is told how many.
    pub fn overhear(&self) -> broadcast::Receiver<Arc<Answered>> {
        self.lines.overheard().follow()
    }

    /// Lists what became of events, newest first.
    ///
    /// # Errors
    /// If the store can not be read.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRecord>, Error> {
        let store = self.services.store.clone();
        let rows = tokio::task::spawn_blocking(move || store.runs(&query)).await;
        rows.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
    }

    /// Returns what outlives the process.
    pub fn store(&self) -> Store {
        self.services.store.clone()
    }

    /// Edits state by hand, and says so in the log. Blocks the calling thread until it is on disk.
    ///
    /// # Errors
    /// As [`Store::edit`].
    pub fn edit_state(&self, edit: &StateEdit) -> Result<(), Error> {
        self.services.store.edit(edit)?;
        let spaces: BTreeSet<&String> =
            edit.cleared.iter().chain(edit.values.iter().map(|(space, ..)| space)).collect();
        for space in spaces {
            match space.strip_prefix("script:") {
                Some(script) => self.lines.say(Level::Info, script, "its state was edited by hand"),
                None => self.lines.say(Level::Info, "", format!("the state `{space}` was edited by hand")),
            }
        }
        Ok(())
    }

    /// Returns what became of one event: the newest whose id is this or ends with it.
    ///
    /// # Errors
    /// If the store can not be read.
    pub async fn row(&self, id: String) -> Result<Option<RunRecord>, Error> {
        let store = self.services.store.clone();
        let row = tokio::task::spawn_blocking(move || store.run(&id)).await;
        row.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        answered.await.ok()
    }
}

fn stopping() -> String {
    "rhaid is stopping".to_owned()
}

/// Returns whether a path is none of ours: hidden, but for the folder that Kubernetes exchanges.
fn is_hidden(folder: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(folder).unwrap_or(Path::new(""));
    below.components().any(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| name.starts_with('.') && !name.starts_with("..")),
        _ => false,
    })
}
