//! Calls handlers, and writes the run history.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::record::{self, Attempt, Origin};
use super::returned_run::{CompletedCall, ReturnedRun, StoredRun};
use crate::event::Event;
use crate::fault::Fault;
use crate::functions::{Context, EarlierRuns, RunUsage, Stop};
use crate::run::{Outcome, Skip};
use crate::runtime::punctuality::PunctualityTracker;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::run_log::{LogStore, RunRecorder};
use crate::runtime::scheduler::RunRequest;
use crate::runtime::settings::Settings;
use crate::script::RunError;
use crate::services::Services;
use crate::services::mqtt::StoreTracker;
use crate::services::store::Batch;

/// Number of checks whether a simulated run is next in order, before its thread sleeps.
const MAX_SPINS: usize = 50;

/// Calls handlers, and writes the run history.
pub(super) struct Runner {
    pub(super) services: Services,
    pub(super) settings: watch::Receiver<Arc<Settings>>,
    pub(super) log: LogStore,
    pub(super) punctuality: Arc<PunctualityTracker>,
    pub(super) runtime: tokio::runtime::Handle,
    /// Runs whose messages are stored. Bounded by the number of runs.
    pub(super) stored: mpsc::UnboundedSender<StoredRun>,
}

impl Runner {
    /// Waits until the run is next in order; only in simulations.
    pub(super) fn wait_for_turn(&self, script: &str) {
        let clock = &self.services.clock;
        if clock.is_simulated() {
            // The work before it mostly ends within microseconds, which is shorter than a sleep.
            let is_next = (0..MAX_SPINS).any(|_| {
                std::thread::yield_now();
                clock.is_sole_activity()
            });
            if is_next {
                return;
            }
            self.runtime.block_on(self.services.clock.wait_turn(script));
        }
    }

    /// Runs a handler with the settings for which its thread was chosen.
    pub(super) fn run(
        &self,
        start: RunRequest<Arc<ScriptVersion>>,
        settings: &Arc<Settings>,
        earlier_runs: Option<Arc<dyn EarlierRuns>>,
    ) -> ReturnedRun {
        let started = self.services.clock.now();
        if let Some(due) = start.event.delivery.scheduled.filter(|_| start.attempt == 0) {
            self.punctuality.record(&start.script, &start.target.name, due, started);
        }
        let retried_at = (start.attempt > 0).then_some(started);
        let (script, event, settings_now) = (start.script.clone(), start.event.clone(), settings.clone());
        let recorder = Arc::new(RunRecorder::new(script, event, retried_at, settings_now, self.log.clone()));
        let limit = start.target.policy.timeout.unwrap_or(settings.config.limits.timeout);
        let context = Arc::new(Context {
            script: start.script.clone(),
            services: settings.services.clone(),
            config: settings.config.clone(),
            runtime: self.runtime.clone(),
            cancel: start.cancel.clone(),
            deadline: Instant::now() + limit,
            virtual_deadline: self.services.clock.is_simulated().then(|| started + limit),
            batch: Mutex::new(Batch {
                acknowledged_timers: start.event.delivery.timer().cloned().into_iter().collect(),
                acknowledged_events: start.event.delivery.emitted().into_iter().collect(),
                ..Batch::default()
            }),
            earlier_runs,
            pending_writes: Some(OnceLock::new()),
            hops: start.event.delivery.hops,
            run_log: recorder.clone(),
            is_dry_run: false,
            usage: RunUsage::default(),
        });
        let outcome = self.call(&start, &context, limit);
        let (mut batch, mut messages) = (Batch::default(), None);
        if matches!(outcome, Outcome::Succeeded(_)) {
            batch = std::mem::take(&mut *context.batch.lock());
            batch.event_deliveries = self.services.bus.route(std::mem::take(&mut batch.emitted));
            messages = unfinished_writes(&context).cloned();
        }
        let call = CompletedCall { start, started, recorder, settings: settings.clone(), outcome };
        ReturnedRun { call, batch, messages }
    }

    /// Logs a failure and writes the run record, or counts a quick success beyond the sample.
    pub(super) fn finish(&self, call: CompletedCall) -> Outcome {
        let ended = self.services.clock.now();
        let CompletedCall { start, started, recorder, settings, outcome } = call;
        let is_routine =
            !recorder.is_notable() && record::is_routine(&start, &outcome, ended.duration_since(started), &settings);
        if is_routine && self.services.store.omit(&start.script, &start.target.name, ended) {
            return outcome;
        }
        let outcome = record::mask(outcome, &settings);
        if let Outcome::Failed(fault) | Outcome::TimedOut(fault) = &outcome {
            recorder.report(fault.report());
        }
        let now_settings = self.settings.borrow().clone();
        let origin = Origin { script: &start.script, version: start.version.number, trigger: &start.target.name };
        let effects = recorder.take_effects();
        let attempt = Attempt { id: recorder.run_id(), number: start.attempt, started, effects: &effects };
        let run = record::record(&origin, &start.event, Some(&attempt), &outcome, ended, &now_settings);
        self.services.store.record(run);
        if start.event.delivery.requires_ack() && outcome.is_failure() {
            // The sender deletes the message after the acknowledgement; only the run record remains.
            self.services.store.flush();
        }
        outcome
    }

    fn call(&self, start: &RunRequest<Arc<ScriptVersion>>, context: &Arc<Context>, limit: Duration) -> Outcome {
        if start.cancel.is_cancelled() {
            return Outcome::Cancelled;
        }
        let call = || start.version.call(start.target.handler, &start.event, context);
        let returned = std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let text = format!("a function panicked: {}", words.unwrap_or("(no message)"));
            Err(RunError::Fault(Box::new(Fault { kind: "panic".into(), ..Fault::new(start.version.location(), text) })))
        });
        match returned {
            Ok(value) => Outcome::Succeeded(value),
            Err(RunError::Fault(fault)) => Outcome::Failed(fault),
            Err(RunError::Stopped(Stop::Cancelled, _)) => Outcome::Cancelled,
            Err(RunError::Stopped(Stop::Deadline, mut fault)) => {
                if fault.text.is_empty() {
                    fault.text = format!("ran for longer than {}", crate::units::show_duration(limit));
                }
                Outcome::TimedOut(fault)
            }
            Err(RunError::Stopped(Stop::Operations | Stop::Memory, fault)) => Outcome::Failed(fault),
        }
    }

    /// Records a skipped event in the run history.
    pub(super) fn record_skip(
        &self,
        script: &Arc<str>,
        version: &ScriptVersion,
        trigger: &Arc<str>,
        event: &Event,
        skip: &Skip,
    ) {
        let (settings, now) = (self.settings.borrow().clone(), self.services.clock.now());
        let origin = Origin { script, version: version.number, trigger };
        let outcome = Outcome::Skipped(skip.clone());
        self.services.store.record(record::record(&origin, event, None, &outcome, now, &settings));
    }
}

/// Returns the tracker of the published messages, if some are not safe yet.
fn unfinished_writes(context: &Context) -> Option<&StoreTracker> {
    context.pending_writes.as_ref()?.get().filter(|tracker| !tracker.is_done())
}
