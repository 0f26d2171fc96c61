//! What a script can call: one file per package, the list, and the context through which functions reach the world.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::task::{self, Waker};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use rhai::{Dynamic, EvalAltResult, Position, Shared};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Denied, Level};
use crate::effect::Effect;
use crate::services::Services;
use crate::services::mqtt::Delivery;
use crate::services::store::Batch;

mod act;
mod arguments;
pub mod convert;
pub mod data;
pub mod events;
pub mod http;
pub mod log;
pub mod mqtt;
pub mod outside;
pub mod reference;
pub mod state;
pub mod testing;
pub mod time;
pub mod timers;

/// Functions that a script calls under one theme.
pub struct Package {
    /// Its name in the reference, such as `HTTP`.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub docs: &'static str,
    /// Puts its functions into a module that every engine shares. Doc comments and parameter names must be in the metadata.
    pub register: fn(&mut rhai::Module),
}

/// The packages, in the order of the reference.
pub const PACKAGES: &[&Package] = &[
    &http::HTTP,
    &mqtt::MQTT,
    &state::STATE,
    &timers::TIMERS,
    &time::TIME,
    &data::DATA,
    &log::LOG,
    &outside::OUTSIDE,
    &events::EVENTS,
];

/// Returns the functions of every package in one module, built once per process: what every engine registers as global.
pub fn module() -> Shared<rhai::Module> {
    static MODULE: LazyLock<Shared<rhai::Module>> = LazyLock::new(|| {
        let mut module = rhai::Module::new();
        for package in PACKAGES {
            (package.register)(&mut module);
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// What functions throw.
pub type Thrown = Box<EvalAltResult>;

/// Returns what a script catches as `err`: a map with `kind`, `message` and what else there is to say.
pub fn thrown(kind: &str, message: impl Into<String>) -> Thrown {
    let mut map = rhai::Map::new();
    map.insert("kind".into(), kind.into());
    map.insert("message".into(), message.into().into());
    EvalAltResult::ErrorRuntime(Dynamic::from_map(map), Position::NONE).into()
}

/// Returns what is thrown for something that the script may not do, with the line that would allow it.
fn denied(no: &Denied) -> Thrown {
    let mut map = rhai::Map::new();
    map.insert("kind".into(), "denied".into());
    map.insert("message".into(), no.to_string().into());
    map.insert("hint".into(), no.hint.clone().into());
    EvalAltResult::ErrorRuntime(Dynamic::from_map(map), Position::NONE).into()
}

/// Why a run must end, whatever the script catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its time is up.
    Deadline,
    /// It was cancelled.
    Cancelled,
    /// It spent its operations.
    Operations,
    /// It holds too much memory.
    Memory,
}

/// Where a run's log lines go.
pub trait RunLog: Send + Sync {
    /// Takes a line: the level, the text and fields as JSON. Printing with `print` is [`Level::Info`].
    fn log_line(&self, level: Level, text: &str, fields: &serde_json::Map<String, serde_json::Value>);

    /// Takes notice of something the run did, for the ledger; when it began is the journal's to know.
    fn record_effect(&self, effect: Effect);

    /// Takes notice of an answer of a server, which is made ready only if somebody wants it.
    fn record_response(&self, _answer: &dyn Fn() -> http::RecordedResponse) {}
}

/// What functions can reach during a run; one per run.
pub struct Context {
    /// The script's name, such as `freezer` or `garden/pump`.
    pub script: Arc<str>,
    /// The outside world.
    pub services: Services,
    /// Limits, permissions, secrets.
    pub config: Arc<Config>,
    /// Where waiting is done, but for HTTP, which has a driver: functions run on a thread of their own and block on this.
    pub runtime: tokio::runtime::Handle,
    /// Set when the run must end.
    pub cancel: CancellationToken,
    /// When the run must have ended.
    pub deadline: Instant,
    /// When it must have ended by the clock of a held world.
    pub virtual_deadline: Option<Timestamp>,
    /// What the run has done to state and timers so far; committed when the handler returns.
    pub batch: Mutex<Batch>,
    /// Messages that the disk must have before the run is done; `None`: the function that sends one waits for that.
    pub pending_writes: Option<Mutex<Vec<Delivery>>>,
    /// How many `emit`s led to this run; 0 for a run that was woken by something else.
    pub hops: u32,
    /// Where it says what it does and logs.
    pub run_log: Arc<dyn RunLog>,
    /// Whether it is only shown what the run would do.
    pub is_dry_run: bool,
    /// What the run has spent so far of what functions limit.
    pub usage: RunUsage,
}

/// A stretch of time within which several things are waited for.
#[derive(Debug, Clone, Copy)]
pub struct SharedTimeout {
    until: Instant,
    /// Its end by the clock of a held world.
    held: Option<Timestamp>,
}

/// What a run has spent so far of what functions limit; starts at nothing.
#[derive(Debug, Default)]
pub struct RunUsage {
    /// Bytes logged.
    logged: AtomicU64,
}

/// What functions can reach while a script's top level runs: no world, but what a declaration may name.
pub struct Loading {
    /// The script's name.
    pub script: Arc<str>,
    /// Permissions and secrets, for `secret` and `env` in a trigger's options.
    pub config: Arc<Config>,
    /// What the top level has spent so far of what functions limit.
    pub usage: RunUsage,
}

/// What the script on this thread is doing.
#[derive(Clone)]
pub enum Phase {
    /// No script is on this thread.
    None,
    /// Its top level declares.
    Loading(Arc<Loading>),
    /// A run.
    Running(Arc<Context>),
    /// A test.
    TestRun(Arc<testing::TestRun>),
}

thread_local! {
    static PHASE: RefCell<Phase> = const { RefCell::new(Phase::None) };
}

/// Returns what the script on this thread is doing.
pub fn phase() -> Phase {
    PHASE.with_borrow(Clone::clone)
}

/// Runs a script's code in a phase, on the current thread.
pub fn enter<T>(phase: Phase, code: impl FnOnce() -> T) -> T {
    struct Leave(Option<Phase>);
    impl Drop for Leave {
        fn drop(&mut self) {
            PHASE.set(self.0.take().unwrap_or(Phase::None));
        }
    }
    let _leave = Leave(Some(PHASE.replace(phase)));
    code()
}

/// Returns the context of the run on this thread.
///
/// # Errors
/// At the top level of a script, where the world may not be touched; the message says what to write instead.
pub fn context(function: &str) -> Result<Arc<Context>, Thrown> {
    match phase() {
        Phase::Running(context) => Ok(context),
        Phase::TestRun(_) => Err(thrown(
            "top_level",
            format!(
                "`{function}` is for scripts: a test acts on its world, with `publish`, `advance`, `request` and others"
            ),
        )),
        _ => Err(thrown(
            "top_level",
            format!(
                "`{function}` can not be called at the top level, which only declares: write `on_start(|| {function}(…))`"
            ),
        )),
    }
}

impl Context {
    /// Waits for the outside from a run's thread; ends at once when the run is cancelled or its deadline passes.
    ///
    /// # Errors
    /// What can not be caught: the run must end.
    pub fn wait<T>(&self, outside: impl Future<Output = T>) -> Result<T, Thrown> {
        arrived(outside, |arrival| self.wait_until(arrival))
    }

    /// Waits like [`Context::wait`] for what HTTP brings.
    ///
    /// # Errors
    /// What can not be caught: the run must end.
    pub fn wait_for_http<T>(&self, outside: impl Future<Output = T>) -> Result<T, Thrown> {
        let Some(driver) = self.services.http.driver() else { return self.wait(outside) };
        let waited = arrived(outside, |arrival| driver.block_on(self.within_limits(arrival)));
        waited.inspect_err(|_| driver.poll_idle())
    }

    fn wait_until(&self, mut arrival: Arrival<'_>) -> Result<(), Thrown> {
        if !self.cancel.is_cancelled() {
            // Much is there already, and a limit has its price.
            let _inside = self.runtime.enter();
            if arrival.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_ready() {
                return Ok(());
            }
        }
        self.runtime.block_on(self.within_limits(arrival))
    }

    async fn within_limits(&self, arrival: Arrival<'_>) -> Result<(), Thrown> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(uncatchable(Stop::Cancelled)),
            () = tokio::time::sleep_until(self.deadline.into()) => Err(uncatchable(Stop::Deadline)),
            () = arrival => Ok(()),
        }
    }

    /// Waits like [`Context::wait`], but no longer than `limit`: then `None`.
    ///
    /// # Errors
    /// What can not be caught: the run must end.
    pub fn wait_for<T>(&self, limit: Duration, outside: impl Future<Output = T>) -> Result<Option<T>, Thrown> {
        let Some(due) = self.virtual_deadline else {
            return self.wait(async { tokio::time::timeout(limit, outside).await.ok() });
        };
        let clock = &self.services.clock;
        let end = clock.now().checked_add(limit).unwrap_or(due).min(due);
        let waited = self.wait(async {
            tokio::select! {
                biased;
                value = outside => Some(value),
                () = clock.sleep_until(end) => None,
            }
        })?;
        if waited.is_none() && end == due { Err(uncatchable(Stop::Deadline)) } else { Ok(waited) }
    }

    /// Begins a stretch of time within which several things are waited for.
    pub fn shared_timeout(&self, limit: Duration) -> SharedTimeout {
        let held = self.virtual_deadline.map(|due| self.services.clock.now().checked_add(limit).unwrap_or(due));
        SharedTimeout { until: Instant::now() + limit, held }
    }

    /// Returns how much is left of a stretch.
    pub fn left(&self, shared_timeout: SharedTimeout) -> Duration {
        match shared_timeout.held {
            Some(end) => self.services.clock.now().duration_until(end).try_into().unwrap_or_default(),
            None => shared_timeout.until.saturating_duration_since(Instant::now()),
        }
    }

    /// Waits until the clock shows a moment.
    ///
    /// # Errors
    /// What can not be caught: the run must end.
    pub fn sleep_until(&self, moment: Timestamp) -> Result<(), Thrown> {
        let clock = &self.services.clock;
        match self.virtual_deadline.filter(|due| moment > *due) {
            None => self.wait(clock.sleep_until(moment)),
            Some(due) => self.wait(clock.sleep_until(due)).and_then(|()| Err(uncatchable(Stop::Deadline))),
        }
    }
}

/// What is waited for, whatever it brings: how to wait is compiled once.
type Arrival<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// Has somebody wait for an arrival, and returns what it brought.
fn arrived<T>(
    outside: impl Future<Output = T>,
    wait: impl FnOnce(Arrival<'_>) -> Result<(), Thrown>,
) -> Result<T, Thrown> {
    let mut brought = None;
    wait(pin!(async { brought = Some(outside.await) }))?;
    // Nobody says that it has come before it has.
    brought.ok_or_else(|| uncatchable(Stop::Cancelled))
}

/// The limit of work that no wait is part of: the run's deadline, and a few seconds where there is none.
struct WorkDeadline {
    context: Option<Arc<Context>>,
    until: Instant,
}

impl WorkDeadline {
    fn new() -> Self {
        let soon = Instant::now() + Duration::from_secs(3);
        match phase() {
            Phase::Running(context) => Self { until: context.deadline, context: Some(context) },
            _ => Self { context: None, until: soon },
        }
    }

    /// Ends the run if it was cancelled or its time is up; to be asked now and then.
    fn check(&self) -> Result<(), Thrown> {
        if self.context.as_ref().is_some_and(|context| context.cancel.is_cancelled()) {
            return Err(uncatchable(Stop::Cancelled));
        }
        if Instant::now() > self.until { Err(uncatchable(Stop::Deadline)) } else { Ok(()) }
    }
}

/// Returns the error that no script can catch; `script` reads the [`Stop`] back out of it.
pub fn uncatchable(stop: Stop) -> Thrown {
    EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
}
