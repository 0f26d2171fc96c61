//! Resources available to functions while a script runs or loads.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::functions::run_log::RunLog;
use crate::services::Services;
use crate::services::mqtt::StoreTracker;
use crate::services::store::Batch;

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
