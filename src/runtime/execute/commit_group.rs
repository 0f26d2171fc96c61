//! Consecutive runs of one script that share a commit.
//!
//! While events of a script are queued, its next run starts on the state as the previous run left it. The runs are committed together and
//! finished after that in order. If the commit fails, they are committed one by one; a run that cannot be committed fails, and those after
//! it are undone and run again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::returned_run::ReturnedRun;
use crate::functions::EarlierRuns;
use crate::services::store::{Batch, Store, UncommittedState};
use crate::value::Value;

/// Largest number of runs in a group.
const MAX_RUNS: usize = 256;
/// How long after its first run a group accepts another run.
const MAX_AGE: Duration = Duration::from_millis(4);
/// How long the runs of a group wait for the next run to return.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// Consecutive runs of one script that share a commit.
pub(super) struct CommitGroup {
    pub(super) runs: Vec<ReturnedRun>,
    /// Whether the group before it was committed, if a run of this group has read its changes.
    pub(super) predecessor: Option<oneshot::Receiver<bool>>,
    since: Instant,
}

/// The group that the runs of one worker thread join, and the changes that they read. A run that takes long has the group committed without
/// waiting for it.
pub(super) struct OpenGroup {
    group: Mutex<Option<CommitGroup>>,
    state: UncommittedState,
    /// Takes the group to commit it, with the sender of whether it was.
    commit: Box<dyn Fn(CommitGroup, oneshot::Sender<bool>) + Send + Sync>,
    predecessor: Mutex<Option<oneshot::Receiver<bool>>>,
}

impl OpenGroup {
    pub(super) fn new(commit: impl Fn(CommitGroup, oneshot::Sender<bool>) + Send + Sync + 'static) -> Self {
        Self {
            group: Mutex::new(None),
            state: UncommittedState::default(),
            commit: Box::new(commit),
            predecessor: Mutex::new(None),
        }
    }

    /// Adds a run; returns whether another one may join.
    pub(super) fn join(&self, run: ReturnedRun, store: &Store) -> bool {
        let predecessor = self.predecessor.lock().take();
        let mut group = self.group.lock();
        let is_followed = predecessor.is_none()
            && !run.batch.has_timers_or_events()
            && self.state.apply(&run.batch, |namespace, key| store.value(namespace, key)).is_ok();
        let group = group.get_or_insert_with(|| CommitGroup { runs: Vec::new(), predecessor, since: Instant::now() });
        group.runs.push(run);
        is_followed && group.runs.len() < MAX_RUNS && group.since.elapsed() < MAX_AGE
    }
}

impl EarlierRuns for OpenGroup {
    fn value(&self, namespace: &str, key: &str) -> Option<Option<Value>> {
        self.state.value(namespace, key)
    }

    fn keys(&self, namespace: &str) -> Vec<(String, bool)> {
        self.state.keys(namespace)
    }

    fn commit(&self) {
        let group = self.group.lock().take();
        if let Some(group) = group {
            let (committed, predecessor) = oneshot::channel();
            *self.predecessor.lock() = Some(predecessor);
            (self.commit)(group, committed);
        }
    }

    fn commit_overdue(&self, now: Instant) {
        let is_overdue = |group: &CommitGroup| now.saturating_duration_since(group.since) >= MAX_AGE + MAX_WAIT;
        if self.group.lock().as_ref().is_some_and(is_overdue) {
            self.commit();
        }
    }
}

impl CommitGroup {
    /// Returns the effects of all runs as one batch, or `None` if they must be committed one by one.
    pub(super) fn merged(&self) -> Option<Batch> {
        let mut runs = self.runs.iter();
        let mut merged = runs.next()?.batch.clone();
        runs.all(|run| merged.merge(&run.batch).is_ok()).then_some(merged)
    }
}
