//! Runs whose handlers have returned and that are not finished.

use std::sync::Arc;

use jiff::Timestamp;

use super::run_ends::RunEnds;
use crate::run::Outcome;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::run_log::RunRecorder;
use crate::runtime::scheduler::RunRequest;
use crate::runtime::settings::Settings;
use crate::services::mqtt::{self, StoreTracker};
use crate::services::store::Batch;

/// Run whose handler has returned.
pub(super) struct CompletedCall {
    pub(super) start: RunRequest<Arc<ScriptVersion>>,
    pub(super) started: Timestamp,
    pub(super) recorder: Arc<RunRecorder>,
    pub(super) settings: Arc<Settings>,
    pub(super) outcome: Outcome,
}

/// Run whose handler has returned, with its effects.
pub(super) struct ReturnedRun {
    pub(super) call: CompletedCall,
    /// Effects to commit; empty if the run failed.
    pub(super) batch: Batch,
    /// Messages that must be safe before the run is finished, if there are some.
    pub(super) messages: Option<StoreTracker>,
}

/// Run whose handler has returned, and the result of storing its messages.
pub(super) struct StoredRun {
    pub(super) call: CompletedCall,
    pub(super) batch: Batch,
    pub(super) stored: Result<(), mqtt::Error>,
    pub(super) ends: Arc<dyn RunEnds>,
}
