//! Ends of runs, and the interface through which the executor reports them.

use std::sync::Arc;

use crate::run::Outcome;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::scheduler::{RunId, RunRequest};

/// Stage that a run has reached.
pub(crate) enum RunEnd {
    /// The handler returned; its published messages are not on disk yet.
    Returned,
    /// The run is finished.
    Finished(Outcome),
}

/// Receives the ends of runs.
pub(crate) trait RunEnds: Send + Sync {
    /// Handles a stage of a run; may return the next run for the same thread.
    fn ended(self: Arc<Self>, run: RunId, end: RunEnd) -> Option<RunRequest<Arc<ScriptVersion>>>;

    /// Returns the next serial run of the script, which starts before this one is committed.
    fn following(self: Arc<Self>, run: RunId) -> Option<RunRequest<Arc<ScriptVersion>>>;

    /// Handles the ends of consecutive runs: of those that are finished, and of those after them that are undone, because the effects of an earlier
    /// run cannot be committed. The events of these run again.
    fn ended_all(self: Arc<Self>, finished: Vec<(RunId, Outcome)>, undone: Vec<RunId>);
}
