//! Commits groups of runs, and finishes them.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::commit_group::CommitGroup;
use super::returned_run::ReturnedRun;
use super::run_ends::RunEnds;
use super::runner::Runner;
use crate::event::{Ack, Settlement};
use crate::fault::{Fault, SourceLocation};
use crate::run::Outcome;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::scheduler::RunRequest;
use crate::services::mqtt::{self, StoreTracker};
use crate::services::store::{self, Batch};

/// Effects in the error of a run whose messages cannot be stored.
const MESSAGES: &str = "the published messages";

impl Runner {
    /// Commits a group of runs and finishes them; returns whether all were committed.
    pub(super) async fn finish_group(&self, mut group: CommitGroup, ends: Arc<dyn RunEnds>) -> bool {
        let is_valid = match group.predecessor.take() {
            Some(committed) => committed.await.unwrap_or(false),
            None => true,
        };
        let (count, is_complete) = if is_valid { self.commit_group(&mut group).await } else { (0, false) };
        let undone = group.runs.drain(count..).map(|run| run.call.start.run).collect();
        let finished = group.runs.into_iter().map(|run| (run.call.start.run, self.finish(run.call)));
        ends.ended_all(finished.collect(), undone);
        is_complete
    }

    /// Commits the runs of a group; returns the number of runs that are done, and whether all are committed. The last one that is done may have
    /// failed to commit.
    async fn commit_group(&self, group: &mut CommitGroup) -> (usize, bool) {
        for (at, run) in group.runs.iter_mut().enumerate() {
            let Some(messages) = run.messages.take() else { continue };
            if let Err(error) = stored(&messages).await {
                (run.call.outcome, run.batch) = (messages_failed(&run.call.start, &error), Batch::default());
                return (self.commit_singly(&mut group.runs[..=at]).await.0, false);
            }
        }
        if group.runs.len() > 1
            && let Some(merged) = group.merged()
            && self.commit(merged).await.is_ok()
        {
            return (group.runs.len(), true);
        }
        self.commit_singly(&mut group.runs).await
    }

    /// Commits runs one after another, up to one that fails; returns as [`Runner::commit_group`].
    async fn commit_singly(&self, runs: &mut [ReturnedRun]) -> (usize, bool) {
        for (at, run) in runs.iter_mut().enumerate() {
            if let Err(error) = self.commit(std::mem::take(&mut run.batch)).await {
                run.call.outcome = write_failed(&run.call.start, "the changes of state, timers and events", &error);
                return (at + 1, false);
            }
        }
        (runs.len(), true)
    }

    async fn commit(&self, batch: Batch) -> Result<(), store::Error> {
        self.services.store.enqueue_commit(&batch).await?;
        self.services.timers.apply_commit(&batch);
        if !batch.event_deliveries.is_empty() {
            let missed = self.services.bus.deliver(batch.event_deliveries).await;
            missed.into_iter().for_each(|number| self.services.settle(&Ack::Emitted(number), Settlement::Ack));
        }
        Ok(())
    }
}

/// Waits until messages are on disk or acknowledged by the broker.
async fn stored(messages: &StoreTracker) -> Result<(), mqtt::Error> {
    let (done, stored) = oneshot::channel();
    messages.when_done(move |result| drop(done.send(result)));
    stored.await.unwrap_or(Ok(()))
}

/// Returns the outcome of a run whose messages cannot be stored.
pub(super) fn messages_failed(start: &RunRequest<Arc<ScriptVersion>>, error: &mqtt::Error) -> Outcome {
    write_failed(start, MESSAGES, error)
}

fn write_failed(start: &RunRequest<Arc<ScriptVersion>>, what: &str, error: &dyn Display) -> Outcome {
    let place = SourceLocation { line: 0, column: 0, ..start.version.location() };
    let text = format!("{what} could not be stored: {error}");
    Outcome::Failed(Box::new(Fault { kind: "store".into(), ..Fault::new(place, text) }))
}
