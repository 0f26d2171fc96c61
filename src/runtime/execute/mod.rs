//! Executor: runs handlers on a thread pool, with a deadline; commits their effects and writes the run history.

mod commit;
mod commit_group;
pub(super) mod payload;
mod pool;
mod record;
mod returned_run;
mod run_ends;
mod runner;
mod worker;

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, watch};

use self::commit::messages_failed;
use self::pool::Pool;
use self::returned_run::StoredRun;
pub(crate) use self::run_ends::{RunEnd, RunEnds};
use self::runner::Runner;
use self::worker::Worker;
use super::punctuality::PunctualityTracker;
use super::registry::ScriptVersion;
use super::run_log::LogStore;
use super::scheduler::RunRequest;
use super::settings::Settings;
use crate::event::Event;
use crate::run::Skip;
use crate::script;
use crate::services::Services;

/// Number of stored runs that are finished together.
const BATCH: usize = 64;

/// Executor of runs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Executor {
    pool: Pool,
    runner: Arc<Runner>,
}

impl Executor {
    /// Creates an executor; threads are started with the first runs.
    pub(crate) fn new(
        services: Services,
        settings: watch::Receiver<Arc<Settings>>,
        log: LogStore,
        punctuality: Arc<PunctualityTracker>,
    ) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let (stored, stored_runs) = mpsc::unbounded_channel();
        let pool = Pool::new(&runtime);
        let runner = Arc::new(Runner { services, settings, log, punctuality, runtime, stored });
        runner.runtime.spawn(finish_stored(Arc::downgrade(&runner), stored_runs));
        Self { pool, runner }
    }

    /// Starts a run without blocking.
    pub(crate) fn start(&self, start: RunRequest<Arc<ScriptVersion>>, ends: Arc<dyn RunEnds>) {
        let executor = self.clone();
        let runner = self.runner.clone();
        let stack = script::stack_size(&self.runner.settings.borrow().config.limits);
        let job = Box::new(move || {
            let mut worker = Worker { runner, ends, group: None, mark: None };
            let mut next = Some(start);
            while let Some(start) = next {
                let settings = worker.runner.settings.borrow().clone();
                if script::stack_size(&settings.config.limits) > stack {
                    worker.close_group();
                    return executor.start(start, worker.ends.clone());
                }
                next = worker.run(start, &settings);
            }
        });
        self.pool.submit(stack, job);
    }

    /// Returns whether no run waits for a thread, so that a thread may continue with the next run.
    pub(crate) fn is_free(&self) -> bool {
        self.pool.is_free()
    }

    /// Records a skipped event in the run history.
    pub(crate) fn record_skip(
        &self,
        script: &Arc<str>,
        version: &ScriptVersion,
        trigger: &Arc<str>,
        event: &Event,
        skip: &Skip,
    ) {
        self.runner.record_skip(script, version, trigger, event, skip);
    }
}

/// Finishes runs whose messages are on disk; the next runs of their scripts have started meanwhile.
async fn finish_stored(runner: Weak<Runner>, mut stored_runs: mpsc::UnboundedReceiver<StoredRun>) {
    let mut stored_batch = Vec::new();
    while stored_runs.recv_many(&mut stored_batch, BATCH).await > 0 {
        let Some(runner) = runner.upgrade() else { return };
        // All runs of one executor have the same receiver of their ends.
        let Some(ends) = stored_batch.first().map(|first| first.ends.clone()) else { return };
        let finished = stored_batch.drain(..).map(|StoredRun { mut call, batch, stored, .. }| {
            match stored {
                Ok(()) => {
                    batch.acknowledged_events.iter().for_each(|number| runner.services.store.acknowledge_event(*number))
                }
                Err(error) => call.outcome = messages_failed(&call.start, &error),
            }
            (call.start.run, runner.finish(call))
        });
        ends.ended_all(finished.collect(), Vec::new());
    }
}
