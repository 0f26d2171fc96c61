//! Runs handlers on one thread, and groups those that share a commit.

use std::sync::Arc;
use std::time::Instant;

use super::commit_group::OpenGroup;
use super::returned_run::{ReturnedRun, StoredRun};
use super::run_ends::{RunEnd, RunEnds};
use super::runner::Runner;
use crate::functions::EarlierRuns;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::scheduler::{RunId, RunRequest};
use crate::runtime::settings::Settings;
use crate::services::mqtt;
use crate::services::store;

/// Runs handlers on one thread.
pub(super) struct Worker {
    pub(super) runner: Arc<Runner>,
    pub(super) ends: Arc<dyn RunEnds>,
    /// Runs that wait for their commit.
    pub(super) group: Option<Arc<OpenGroup>>,
    pub(super) mark: Option<store::RunMarker>,
}

impl Worker {
    /// Runs a handler, and finishes the run or adds it to the group; returns the next run for this thread, if there is one.
    pub(super) fn run(
        &mut self,
        start: RunRequest<Arc<ScriptVersion>>,
        settings: &Arc<Settings>,
    ) -> Option<RunRequest<Arc<ScriptVersion>>> {
        let runner = self.runner.clone();
        if !self.mark.as_ref().is_some_and(|mark| mark.is_of(&start.script)) {
            self.mark = Some(runner.services.store.mark_running(&start.script));
        }
        mqtt::flush_overdue_wakes(Instant::now());
        runner.wait_for_turn(&start.script);
        let run = start.run;
        let earlier = self.group.clone().map(|group| group as Arc<dyn EarlierRuns>);
        let returned = runner.run(start, settings, earlier);
        if self.group.is_some() || returned.batch.has_changes() {
            return self.join_group(run, returned);
        }
        let ReturnedRun { call, batch, messages } = returned;
        let Some(messages) = messages else {
            let outcome = runner.finish(call);
            batch.acknowledged_events.iter().for_each(|number| runner.services.store.acknowledge_event(*number));
            return self.ends.clone().ended(run, RunEnd::Finished(outcome));
        };
        let next = self.ends.clone().ended(run, RunEnd::Returned);
        let (stored_runs, ends) = (runner.stored.clone(), self.ends.clone());
        messages.when_done(move |stored| drop(stored_runs.send(StoredRun { call, batch, stored, ends })));
        next
    }

    /// Adds a run to the group; returns the next one of the script if it may join, too.
    fn join_group(&mut self, run: RunId, returned: ReturnedRun) -> Option<RunRequest<Arc<ScriptVersion>>> {
        let (runner, ends) = (self.runner.clone(), self.ends.clone());
        let group = self.group.get_or_insert_with(|| {
            Arc::new(OpenGroup::new(move |group, committed| {
                let (runner, ends) = (runner.clone(), ends.clone());
                runner.clone().runtime.spawn(async move {
                    // The receiver is dropped if no later run depends on it.
                    let _ = committed.send(runner.finish_group(group, ends).await);
                });
            }))
        });
        let accepts_more = group.join(returned, &self.runner.services.store);
        let is_simulated = self.runner.services.clock.is_simulated();
        let next = if accepts_more && !is_simulated { self.ends.clone().following(run) } else { None };
        if next.is_none() {
            self.close_group();
        }
        next
    }

    /// Has the group committed.
    pub(super) fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            mqtt::flush_wakes();
            group.commit();
        }
    }
}
