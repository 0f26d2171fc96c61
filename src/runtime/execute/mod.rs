//! Executor: runs handlers on a thread pool, with a deadline; commits their effects and writes the run history.

pub(super) mod payload;
mod pool;
mod record;

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use self::pool::Pool;
use self::record::{Attempt, Origin};
use super::punctuality::PunctualityTracker;
use super::registry::ScriptVersion;
use super::run_log::{LogStore, RunRecorder};
use super::scheduler::{RunId, RunRequest};
use super::settings::Settings;
use crate::event::{Ack, Event, Settlement};
use crate::fault::{Fault, SourceLocation};
use crate::functions::{Context, RunUsage, Stop};
use crate::run::{Outcome, Skip};
use crate::script::{self, RunError};
use crate::services::Services;
use crate::services::mqtt::{self, StoreTracker, WakeBatch};
use crate::services::store::{self, Batch};
use crate::value::Value;

/// Number of checks whether a simulated run is next in order, before its thread sleeps.
const MAX_SPINS: usize = 50;

/// Number of stored runs that are finished together.
const BATCH: usize = 64;

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
}

/// Run whose handler has returned.
struct CompletedCall {
    start: RunRequest<Arc<ScriptVersion>>,
    started: Timestamp,
    recorder: Arc<RunRecorder>,
    settings: Arc<Settings>,
    outcome: Outcome,
}

/// Run whose handler has returned, and the result of storing its messages.
struct StoredRun {
    call: CompletedCall,
    stored: Result<(), mqtt::Error>,
    ends: Arc<dyn RunEnds>,
}

/// Executor of runs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Inner>);

struct Inner {
    pool: Pool,
    services: Services,
    settings: watch::Receiver<Arc<Settings>>,
    log: LogStore,
    punctuality: Arc<PunctualityTracker>,
    runtime: tokio::runtime::Handle,
    /// Bounded by the number of runs.
    stored: mpsc::UnboundedSender<StoredRun>,
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
        let inner = Arc::new(Inner { pool, services, settings, log, punctuality, runtime, stored });
        inner.runtime.spawn(finish_stored(Arc::downgrade(&inner), stored_runs));
        Self(inner)
    }

    /// Starts a run without blocking.
    pub(crate) fn start(&self, start: RunRequest<Arc<ScriptVersion>>, ends: Arc<dyn RunEnds>) {
        let executor = self.clone();
        let inner = self.0.clone();
        let stack = script::stack_size(&self.0.settings.borrow().config.limits);
        let job = Box::new(move || {
            let _wakes = WakeBatch::start();
            let mut next = Some(start);
            let mut mark = None::<store::RunMarker>;
            while let Some(start) = next {
                let settings = inner.settings.borrow().clone();
                if script::stack_size(&settings.config.limits) > stack {
                    return executor.start(start, ends);
                }
                if !mark.as_ref().is_some_and(|mark| mark.is_of(&start.script)) {
                    mark = Some(inner.services.store.mark_running(&start.script));
                }
                mqtt::flush_overdue_wakes(Instant::now());
                let run = start.run;
                inner.wait_for_turn(&start.script);
                let (call, tracker) = inner.run(start, &settings);
                let Some(tracker) = tracker else {
                    next = ends.clone().ended(run, RunEnd::Finished(inner.finish(call)));
                    continue;
                };
                next = ends.clone().ended(run, RunEnd::Returned);
                let (stored_runs, ends) = (inner.stored.clone(), ends.clone());
                tracker.when_done(move |stored| drop(stored_runs.send(StoredRun { call, stored, ends })));
            }
        });
        self.0.pool.submit(stack, job);
    }

    /// Returns whether no run waits for a thread, so that a thread may continue with the next run.
    pub(crate) fn is_free(&self) -> bool {
        self.0.pool.is_free()
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
        let (settings, now) = (self.0.settings.borrow().clone(), self.0.services.clock.now());
        let origin = Origin { script, version: version.number, trigger };
        let outcome = Outcome::Skipped(skip.clone());
        self.0.services.store.record(record::record(&origin, event, None, &outcome, now, &settings));
    }
}

impl Inner {
    /// Waits until the run is next in order; only in simulations.
    fn wait_for_turn(&self, script: &str) {
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
    ///
    /// Returns the messages that must be safe before the run is finished, if there are some.
    fn run(
        &self,
        start: RunRequest<Arc<ScriptVersion>>,
        settings: &Arc<Settings>,
    ) -> (CompletedCall, Option<StoreTracker>) {
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
            pending_writes: Some(OnceLock::new()),
            hops: start.event.delivery.hops,
            run_log: recorder.clone(),
            is_dry_run: false,
            usage: RunUsage::default(),
        });
        let outcome = self.call(&start, &context, limit);
        let tracker = unfinished_writes(&context).filter(|_| matches!(outcome, Outcome::Succeeded(_))).cloned();
        (CompletedCall { start, started, recorder, settings: settings.clone(), outcome }, tracker)
    }

    /// Logs a failure and writes the run record, or counts a quick success beyond the sample.
    fn finish(&self, call: CompletedCall) -> Outcome {
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
            Ok(value) => self.commit(start, context, value),
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

    fn commit(&self, start: &RunRequest<Arc<ScriptVersion>>, context: &Context, value: Value) -> Outcome {
        let mut batch = std::mem::take(&mut *context.batch.lock());
        batch.event_deliveries = self.services.bus.route(std::mem::take(&mut batch.emitted));
        let is_kept = !(batch.values.is_empty()
            && batch.timers_set.is_empty()
            && batch.timers_cancelled.is_empty()
            && batch.acknowledged_timers.is_empty()
            && batch.event_deliveries.is_empty());
        if (is_kept || !batch.acknowledged_events.is_empty())
            && let Err(error) = self.flush_writes(context)
        {
            return write_failed(start, "the published messages", &error);
        }
        if is_kept {
            mqtt::flush_wakes();
            if let Err(error) = self.services.store.commit(&batch) {
                return write_failed(start, "the changes of state, timers and events", &error);
            }
            self.services.timers.apply_commit(&batch);
        } else {
            // A run without other effects does not wait for the disk.
            let ack = start.event.delivery.ack.as_ref().filter(|_| !start.event.delivery.requires_ack());
            ack.into_iter().for_each(|ack| self.services.settle(ack, Settlement::Ack));
        }
        if !batch.event_deliveries.is_empty() {
            let missed = self.runtime.block_on(self.services.bus.deliver(batch.event_deliveries));
            missed.into_iter().for_each(|number| self.services.settle(&Ack::Emitted(number), Settlement::Ack));
        }
        Outcome::Succeeded(value)
    }

    /// Waits until the published messages are on disk, before the other effects are committed.
    fn flush_writes(&self, context: &Context) -> Result<(), mqtt::Error> {
        let Some(tracker) = unfinished_writes(context) else { return Ok(()) };
        context.services.mqtt.flush_now();
        mqtt::flush_wakes();
        let (done, stored) = oneshot::channel();
        tracker.when_done(move |result| drop(done.send(result)));
        self.runtime.block_on(stored).unwrap_or(Ok(()))
    }
}

/// Finishes runs whose messages are on disk; the next runs of their scripts have started meanwhile.
async fn finish_stored(executor: Weak<Inner>, mut stored_runs: mpsc::UnboundedReceiver<StoredRun>) {
    let mut batch = Vec::new();
    while stored_runs.recv_many(&mut batch, BATCH).await > 0 {
        let Some(inner) = executor.upgrade() else { return };
        for StoredRun { mut call, stored, ends } in batch.drain(..) {
            if let Err(error) = stored {
                call.outcome = write_failed(&call.start, "the published messages", &error);
            }
            let run = call.start.run;
            if let Some(next) = ends.clone().ended(run, RunEnd::Finished(inner.finish(call))) {
                Executor(inner.clone()).start(next, ends);
            }
        }
    }
}

/// Returns the tracker of the published messages, if some are not safe yet.
fn unfinished_writes(context: &Context) -> Option<&StoreTracker> {
    context.pending_writes.as_ref()?.get().filter(|tracker| !tracker.is_done())
}

fn write_failed(start: &RunRequest<Arc<ScriptVersion>>, what: &str, error: &dyn Display) -> Outcome {
    let place = SourceLocation { line: 0, column: 0, ..start.version.location() };
    let text = format!("{what} could not be stored: {error}");
    Outcome::Failed(Box::new(Fault { kind: "store".into(), ..Fault::new(place, text) }))
}
