//! State of a sandbox, and its instance of rhaid.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, MutexGuard};

use crate::config::Config;
use crate::functions::testing::SandboxApi as _;
use crate::runtime::{LogLine, ScriptSelection};
use crate::secrets::Mask;
use crate::services::clock::Clock;
use crate::services::http::Reply;
use crate::services::store::Store;
use crate::sim::instance::{Instance, InstanceSettings};
use crate::sim::mock_broker::MockBrokers;
use crate::sim::mock_http::{MockResponses, UnmatchedHint};
use crate::sim::webhook::CallWebhook;

/// The virtual time at which a sandbox starts.
const START: jiff::civil::DateTime = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);

/// A sandbox: virtual clock, mock broker, mock HTTP servers, store, files, and the instance of rhaid that uses them.
pub(super) struct Sandbox {
    pub(super) clock: Clock,
    pub(super) zone: TimeZone,
    pub(super) brokers: MockBrokers,
    pub(super) mocks: Arc<MockResponses>,
    pub(super) store: Store,
    /// Root of the virtual file system.
    files: tempfile::TempDir,
    /// The scripts that were loaded by name; `None` loads the whole folder.
    pub(super) chosen: Option<ScriptSelection>,
    pub(super) config: Mutex<Arc<Config>>,
    pub(super) instance: Mutex<Option<Instance>>,
    baseline: Mutex<Baseline>,
    pub(super) printed: Mutex<Vec<String>>,
    pub(super) call_webhook: CallWebhook,
}

/// Positions up to which records are hidden from assertions: set by `forget()`.
#[derive(Default)]
pub(super) struct Baseline {
    pub(super) published: usize,
    pub(super) requests: usize,
    pub(super) runs: BTreeSet<String>,
    pub(super) logged: usize,
    /// Failed runs that the test expects.
    pub(super) expected_failures: BTreeSet<String>,
    /// Log lines of the instances before the last restart.
    pub(super) logs: Vec<Arc<LogLine>>,
}

/// The scripts that a sandbox loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadMode {
    /// The whole scripts folder, at the first action.
    All,
    /// The scripts that are named by `load`.
    ByName,
}

impl Sandbox {
    /// Creates a sandbox; its instance of rhaid starts at the first action.
    pub(super) fn new(
        config: &Arc<Config>,
        zone: &TimeZone,
        selection: LoadMode,
        hint: UnmatchedHint,
        call_webhook: CallWebhook,
    ) -> anyhow::Result<Self> {
        let clock = Clock::simulated(START.to_zoned(zone.clone())?);
        Ok(Self {
            mocks: Arc::new(MockResponses::new(clock.clone(), hint)),
            brokers: MockBrokers::new(clock.clone()),
            clock,
            zone: zone.clone(),
            store: Store::in_memory()?,
            files: tempfile::tempdir()?,
            chosen: (selection == LoadMode::ByName).then(ScriptSelection::default),
            config: Mutex::new(config.clone()),
            instance: Mutex::default(),
            baseline: Mutex::default(),
            printed: Mutex::default(),
            call_webhook,
        })
    }

    /// Advances the clock to a time.
    ///
    /// # Errors
    /// If the time is in the past.
    pub(super) fn advance_until(&self, time: &Zoned) -> Result<(), String> {
        match Duration::try_from(self.clock.now().duration_until(time.timestamp())) {
            Ok(ahead) => self.advance(ahead),
            Err(_) => Err(format!("{time} is in the past: it is {}", self.clock.now_zoned())),
        }
    }

    /// Starts the instance if it is not running.
    pub(super) fn start(&self) -> Result<(), String> {
        self.with(|_| Ok(()))
    }

    /// Waits until all runs have ended, for at most `limit` of virtual time.
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

    /// Adds a recorded response. The URL is matched with its secrets masked, as in the recording.
    pub(super) fn mock_recorded(&self, method: &str, url: &str, reply: Reply, mask: &Mask) -> Result<(), String> {
        self.mocks.add_recorded(method, url, reply, mask)
    }

    /// Takes the output of `print` in the test.
    pub(super) fn take_printed(&self) -> Vec<String> {
        std::mem::take(&mut *self.printed.lock())
    }

    /// Returns the folder that relative paths are resolved against.
    pub(super) fn base(&self) -> PathBuf {
        let scripts = self.config().scripts.clone();
        let scripts = std::path::absolute(&scripts).unwrap_or(scripts);
        scripts.parent().map_or_else(|| scripts.clone(), Path::to_owned)
    }

    pub(super) fn baseline(&self) -> MutexGuard<'_, Baseline> {
        self.baseline.lock()
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.lock().clone()
    }

    /// Calls a closure with the instance, which is started if it is not running.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Instance) -> Result<T, String>) -> Result<T, String> {
        let mut instance = self.instance.lock();
        if instance.is_none() {
            *instance = Some(Instance::start(self.settings())?);
        }
        match &*instance {
            Some(instance) => act(instance),
            None => Err("no instance of rhaid is running".to_owned()),
        }
    }

    fn settings(&self) -> InstanceSettings {
        InstanceSettings {
            config: self.config(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            brokers: self.brokers.clone(),
            mocks: self.mocks.clone(),
            files: self.files.path().to_owned(),
            base: self.base(),
            chosen: self.chosen.clone(),
        }
    }
}
