//! Resources available to functions while a script runs or loads.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::functions::run_log::RunLog;
use crate::services::Services;
use crate::services::mqtt::{self, StoreTracker};
use crate::services::store::{self, Batch};
use crate::value::Value;

/// Earlier runs of the script that have returned and are not committed yet. The run sees their changes of state.
pub trait EarlierRuns: Send + Sync {
    /// Returns a value that they have changed; `None` if the store has it.
    fn value(&self, namespace: &str, key: &str) -> Option<Option<Value>>;

    /// Returns the keys that they have changed, and whether each has a value.
    fn keys(&self, namespace: &str) -> Vec<(String, bool)>;

    /// Has them committed without waiting for this run. To be called before the run blocks.
    fn commit(&self);

    /// Has them committed if they have waited for long.
    fn commit_overdue(&self, now: Instant);
}

/// Resources available to functions during one run.
pub struct Context {
    /// Script name, such as `freezer` or `garden/pump`.
    pub script: Arc<str>,
    /// Connections to MQTT, HTTP, the store and others.
    pub services: Arc<Services>,
    /// Limits, permissions, secrets.
    pub config: Arc<Config>,
    /// Runtime for waits other than HTTP, which has its own driver. Functions run on a worker thread and block on it.
    pub runtime: tokio::runtime::Handle,
    /// Cancels the run.
    pub cancel: CancellationToken,
    /// Deadline of the run.
    pub deadline: Instant,
    /// Deadline on the virtual clock of a sandbox.
    pub virtual_deadline: Option<Timestamp>,
    /// Pending changes to state and timers and emitted events, committed when the handler returns.
    pub batch: Mutex<Batch>,
    /// Earlier runs whose changes this run sees before they are committed, if there are some.
    pub earlier_runs: Option<Arc<dyn EarlierRuns>>,
    /// Messages to be safe before the run completes; `None`: the publishing function waits for the disk itself.
    pub pending_writes: Option<OnceLock<StoreTracker>>,
    /// Number of `emit` calls in the chain that led to this run; 0 for a run with another trigger.
    pub hops: u32,
    /// Log lines and effects of the run.
    pub run_log: Arc<dyn RunLog>,
    /// Whether effects are only recorded, not performed.
    pub is_dry_run: bool,
    /// Resources used so far.
    pub usage: RunUsage,
}

impl Context {
    /// Lets connections and earlier runs continue without this run. To be called before the run blocks.
    pub(super) fn before_blocking(&self) {
        mqtt::flush_wakes();
        if let Some(earlier) = &self.earlier_runs {
            earlier.commit();
        }
    }

    /// Lets connections and earlier runs continue that have waited for long. To be called regularly by long work.
    pub fn on_progress(&self, now: Instant) {
        mqtt::flush_overdue_wakes(now);
        if let Some(earlier) = &self.earlier_runs {
            earlier.commit_overdue(now);
        }
    }

    /// Returns a value of state as earlier runs have left it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(super) fn stored_value(&self, namespace: &str, key: &str) -> Result<Option<Value>, store::Error> {
        let uncommitted = self.earlier_runs.as_ref().and_then(|earlier| earlier.value(namespace, key));
        uncommitted.map_or_else(|| self.services.store.value(namespace, key), Ok)
    }

    /// Returns the keys of a namespace as earlier runs have left it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(super) fn stored_keys(&self, namespace: &str) -> Result<BTreeSet<String>, store::Error> {
        let mut keys: BTreeSet<_> = self.services.store.keys(namespace)?.into_iter().collect();
        for (key, has_value) in self.earlier_runs.iter().flat_map(|earlier| earlier.keys(namespace)) {
            match has_value {
                true => drop(keys.insert(key)),
                false => drop(keys.remove(&key)),
            }
        }
        Ok(keys)
    }
}

/// Resources used by a run that functions limit.
#[derive(Debug, Default)]
pub struct RunUsage {
    /// Bytes logged.
    pub(super) logged: AtomicU64,
}

/// Resources available to functions at the top level of a script: no services.
pub struct Loading {
    /// Script name.
    pub script: Arc<str>,
    /// Permissions and secrets, for `secret` and `env` in trigger options.
    pub config: Arc<Config>,
    /// Resources used so far.
    pub usage: RunUsage,
}
