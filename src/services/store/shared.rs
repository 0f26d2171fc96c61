//! Data that the writer thread and the callers of the store share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::services::store::deferred::Deferred;
use crate::services::store::pending_runs::PendingRuns;
use crate::services::store::run_sample::RunSample;
use crate::services::store::state_cache::StateCache;
use crate::services::store::storage::Storage;

/// The database, and the buffers in front of it.
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    /// Run records that are not on disk yet.
    pub(super) runs: PendingRuns,
    /// Sample of the quick successful runs, and counts that are not on disk yet.
    pub(super) sample: RunSample,
    /// Metadata and acknowledgements that are not on disk yet.
    pub(super) deferred: Deferred,
    /// Cached state.
    pub(super) state: StateCache,
    /// Whether the writer thread will look for data to write by itself, so that it need not be woken.
    pub(super) is_scheduled: AtomicBool,
}
