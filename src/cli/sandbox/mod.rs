//! A world held in the hand, in which scripts live as in the real one: `rhaid test` and `rhaid simulate`.

mod instance;
mod mock_http;
mod test_functions;
mod timeline;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, MutexGuard};

pub(super) use self::timeline::{TimelineEntry, line, lines};

use self::instance::Instance;
use self::mock_http::MockResponses;
use crate::config::Config;
use crate::functions::testing::SandboxApi as _;
use crate::runtime::{LogLine, ScriptSelection};
use crate::secrets::Mask;
use crate::services::clock::Clock;
use crate::services::http::Reply;
use crate::services::mqtt::MockBrokers;
use crate::services::store::Store;

/// When a world begins that is not told another time.
const START: jiff::civil::DateTime = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);

/// A world held in the hand.
pub(super) struct Sandbox {
    clock: Clock,
    zone: TimeZone,
    brokers: MockBrokers,
    mocks: Arc<MockResponses>,
    store: Store,
    /// The whole file system of this world.
    files: tempfile::TempDir,
    chosen: Option<ScriptSelection>,
    config: Mutex<Arc<Config>>,
    instance: Mutex<Option<Instance>>,
    baseline: Mutex<Baseline>,
    printed: Mutex<Vec<String>>,
}

/// What counts no more.
#[derive(Default)]
struct Baseline {
    published: usize,
    requests: usize,
    runs: BTreeSet<String>,
    logged: usize,
    excused: BTreeSet<String>,
    /// What was logged before the last restart.
    logs: Vec<Arc<LogLine>>,
}

impl Sandbox {
    /// Makes a world in which no script lives yet, or with `all` those of the folder as soon as something happens; a test says what is
    /// answered in it, or else a recording.
    pub(super) fn new(config: &Arc<Config>, zone: &TimeZone, all: bool, is_test: bool) -> anyhow::Result<Self> {
        let clock = Clock::simulated(START.to_zoned(zone.clone())?);
        Ok(Self {
            mocks: Arc::new(MockResponses::new(clock.clone(), is_test)),
            clock,
            zone: zone.clone(),
            brokers: MockBrokers::default(),
            store: Store::in_memory()?,
            files: tempfile::tempdir()?,
            chosen: (!all).then(ScriptSelection::default),
            config: Mutex::new(config.clone()),
            instance: Mutex::default(),
            baseline: Mutex::default(),
            printed: Mutex::default(),
        })
    }

    /// Turns the clock to a moment that is not before now.
    pub(super) fn advance_until(&self, moment: &Zoned) -> Result<(), String> {
        match Duration::try_from(self.clock.now().duration_until(moment.timestamp())) {
            Ok(ahead) => self.advance(ahead),
            Err(_) => Err(format!("{moment} is past: it is {}", self.clock.now_zoned())),
        }
    }

    /// Brings the scripts to life now.
    pub(super) fn begin(&self) -> Result<(), String> {
        self.with(|_| Ok(()))
    }

    /// Lets runs that have begun come to their end, for a limited time.
    pub(super) fn finish(&self, limit: Duration) -> Result<(), String> {
        self.with(|instance| {
            let (runtime, clock) = (instance.runtime.clone(), self.clock.clone());
            instance.wait(async move {
                let end = clock.now() + limit;
                let mut activity = clock.activity();
                tokio::select! {
                    () = runtime.idle() => {}
                    () = activity.sleep_until(&clock, end) => {}
                }
            })
        })
    }

    /// Answers a call as a server did; secrets in its URL are hidden, as they were when it was written down.
    pub(super) fn record(&self, method: &str, url: &str, reply: Reply, mask: &Mask) -> Result<(), String> {
        self.mocks.record(method, url, reply, mask)
    }

    /// Returns what the test printed.
    pub(super) fn take_printed(&self) -> Vec<String> {
        std::mem::take(&mut *self.printed.lock())
    }

    /// Returns the folder that relative paths start from.
    fn base(&self) -> PathBuf {
        let scripts = self.config().scripts.clone();
        let scripts = std::path::absolute(&scripts).unwrap_or(scripts);
        scripts.parent().map_or_else(|| scripts.clone(), Path::to_owned)
    }

    fn baseline(&self) -> MutexGuard<'_, Baseline> {
        self.baseline.lock()
    }

    fn config(&self) -> Arc<Config> {
        self.config.lock().clone()
    }

    /// Does something with what runs, which begins to if it does not yet.
    fn with<T>(&self, act: impl FnOnce(&Instance) -> Result<T, String>) -> Result<T, String> {
        let mut instance = self.instance.lock();
        if instance.is_none() {
            *instance = Some(Instance::start(self)?);
        }
        match &*instance {
            Some(instance) => act(instance),
            None => Err("nothing runs".to_owned()),
        }
    }
}
