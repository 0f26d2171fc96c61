//! Group commit, with run records, counts of runs, metadata and acknowledgements piggybacked on the same transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::services::store::commit::EncodedChange;
use crate::services::store::error::Error;
use crate::services::store::omitted_runs::OmittedRuns;
use crate::services::store::pending_runs::BATCH_ROWS;
use crate::services::store::shared::Shared;
use crate::services::store::state_cache::StateUpdate;
use crate::services::store::storage::{AppendRuns, Durability, GroupError, Write, WriteOutcome};

/// The largest number of jobs in a group, besides the first.
const MAX_GROUP: usize = 256;
/// How long run records, metadata and acknowledgements wait for a commit to share its transaction.
const PIGGYBACK_WAIT: Duration = Duration::from_millis(200);
/// How long they wait after a failure.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Receiver of a write's result, called on the writing thread.
pub(super) type Completion = Box<dyn FnOnce(Result<WriteOutcome, Error>) + Send>;

/// Job of the writer thread.
pub(super) enum Job {
    /// Executes a write.
    Write(Write, Completion),
    /// Run records, metadata or acknowledgements wait.
    Wake,
    /// Writes them now, without syncing.
    WriteNow,
    /// Writes them now.
    Flush(Completion),
}

/// Writer: forms groups of writes and executes them.
pub(super) struct GroupCommit {
    shared: Arc<Shared>,
    /// Whether the last piggybacked writes failed; limits the log to one line.
    has_failed: bool,
    /// When the counts of omitted runs were last taken: a group of commits every few milliseconds leaves them.
    counts_taken: Option<Instant>,
}

impl GroupCommit {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, has_failed: false, counts_taken: None }
    }

    /// Executes jobs until all senders are gone, then writes the rest.
    ///
    /// While data arrives the thread looks for it every [`PIGGYBACK_WAIT`] by itself; it is woken only after it found none.
    pub(super) fn run(mut self, inbox: &Receiver<Job>) {
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let is_last = matches!(first, Err(RecvTimeoutError::Disconnected));
            let jobs: Vec<Job> = first.into_iter().chain(inbox.try_iter().take(MAX_GROUP)).collect();
            let is_urgent = is_last || jobs.iter().any(|job| matches!(job, Job::Write(..) | Job::Flush(_)));
            let is_due = due.is_some_and(|due| due <= Instant::now());
            if is_urgent || is_due || jobs.iter().any(|job| matches!(job, Job::WriteNow)) {
                let has_work = is_urgent || !self.is_drained();
                if has_work {
                    self.write(jobs, is_urgent);
                }
                due = self.next_look(has_work);
            } else {
                due.get_or_insert_with(|| Instant::now() + PIGGYBACK_WAIT);
            }
            if is_last {
                return;
            }
        }
    }

    /// Returns when the thread looks for data again without being woken; `None` if there was none.
    fn next_look(&self, had_work: bool) -> Option<Instant> {
        if !had_work {
            self.shared.is_scheduled.store(false, Ordering::SeqCst);
            // A caller that added data before it saw the mark cleared does not wake the thread.
            if self.is_drained() {
                return None;
            }
        }
        self.shared.is_scheduled.store(true, Ordering::SeqCst);
        Some(Instant::now() + if self.has_failed { RETRY_WAIT } else { PIGGYBACK_WAIT })
    }

    fn is_drained(&self) -> bool {
        self.shared.runs.len() == 0 && self.shared.deferred.is_empty() && self.shared.sample.is_empty()
    }

    /// Executes a group of jobs and the piggybacked writes in one transaction, then calls the completions.
    pub(super) fn write(&mut self, jobs: Vec<Job>, is_durable: bool) {
        let (mut commits, mut completions, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Write(write, completion) => {
                    commits.push(write);
                    completions.push(completion);
                }
                Job::Flush(completion) => flushes.push(completion),
                Job::Wake | Job::WriteNow => {}
            }
        }
        let takes_all = !flushes.is_empty() || (is_durable && commits.is_empty());
        let mut writes = self.piggybacked(!commits.is_empty(), takes_all);
        let count = writes.len();
        writes.append(&mut commits);
        let durability = if is_durable { Durability::Synced } else { Durability::Deferred };
        let mut results = self.execute(&writes, count, durability);
        self.complete(writes, &results, count);
        for (completion, result) in completions.into_iter().zip(results.drain(count..)) {
            completion(result);
        }
        for completion in flushes {
            completion(Ok(WriteOutcome::Done));
        }
    }

    /// Takes the writes that share the transaction of a group; `takes_all` includes counts that may still grow.
    fn piggybacked(&mut self, has_commits: bool, takes_all: bool) -> Vec<Write> {
        let mut writes = Vec::new();
        // Before the commits: a timer was acknowledged before a later run set it again.
        writes.extend(self.shared.deferred.take().map(Write::Deferred));
        // A commit does not wait for a burst of run records.
        let limit = if has_commits && !takes_all { BATCH_ROWS } else { usize::MAX };
        let records = self.shared.runs.take(limit);
        let omitted = self.take_counts(takes_all);
        if !records.is_empty() || !omitted.is_empty() || !has_commits {
            let retention = self.shared.runs.retention();
            writes.push(Write::AppendRuns(AppendRuns { records, omitted, retention }));
        }
        writes
    }

    fn take_counts(&mut self, takes_all: bool) -> Vec<OmittedRuns> {
        if !takes_all && self.counts_taken.is_some_and(|taken| taken.elapsed() < PIGGYBACK_WAIT) {
            return Vec::new();
        }
        self.counts_taken = Some(Instant::now());
        if takes_all { self.shared.sample.take_all() } else { self.shared.sample.take_ended() }
    }

    /// Executes a group. If it fails as a whole, each write behind the piggybacked ones is tried alone.
    fn execute(
        &self,
        writes: &[Write],
        piggybacked: usize,
        durability: Durability,
    ) -> Vec<Result<WriteOutcome, Error>> {
        let storage = &self.shared.storage;
        let GroupError { error, is_retryable } = match storage.write(writes, durability) {
            Ok(results) => return results,
            Err(error) => error,
        };
        let alone = |write: &Write| {
            let group = std::slice::from_ref(write);
            let mut results = storage.write(group, Durability::Synced).map_err(|failed| failed.error)?;
            results.pop().unwrap_or_else(|| Err(error.clone()))
        };
        let retried = |(at, write)| if is_retryable && at >= piggybacked { alone(write) } else { Err(error.clone()) };
        writes.iter().enumerate().map(retried).collect()
    }

    /// Updates the cache by the writes that succeeded, and puts back the piggybacked ones that failed.
    fn complete(&mut self, writes: Vec<Write>, results: &[Result<WriteOutcome, Error>], piggybacked: usize) {
        let failure = results.iter().take(piggybacked).find_map(|result| result.as_ref().err());
        let mut updates = Vec::new();
        for (write, result) in writes.into_iter().zip(results) {
            match (write, result) {
                (Write::Commit(batch), Ok(WriteOutcome::Committed(sums))) => {
                    let mut sums = sums.iter();
                    updates.extend(batch.state.into_iter().map(|write| StateUpdate {
                        namespace: write.namespace,
                        key: write.key,
                        value: match write.change {
                            EncodedChange::Set { value, .. } => Some(value),
                            EncodedChange::Add(_) => sums.next().cloned(),
                            EncodedChange::Remove => None,
                        },
                    }));
                }
                (Write::Deferred(writes), Err(_)) => self.shared.deferred.put_back(writes),
                (Write::AppendRuns(runs), Err(_)) => {
                    self.shared.runs.put_back(runs.records);
                    self.shared.sample.put_back(runs.omitted);
                }
                _ => {}
            }
        }
        self.shared.state.apply(updates);
        self.report(failure);
    }

    /// Logs the first failure of piggybacked writes, and the first success after it.
    fn report(&mut self, failure: Option<&Error>) {
        match failure {
            None => {
                let dropped = self.shared.runs.take_dropped();
                if dropped > 0 {
                    tracing::warn!(
                        dropped,
                        "the run history could not keep up: records were dropped, those of failed runs last"
                    );
                }
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("the run history is written again");
                }
            }
            Some(_) if self.is_drained() => {}
            Some(error) if !std::mem::replace(&mut self.has_failed, true) => {
                tracing::warn!(why = %error, "records of the run history wait in memory until they can be written");
            }
            Some(_) => {}
        }
    }
}
