//! Carries out a run: a thread, a context with a deadline, the call, the commit, the row in the ledger.

pub(super) mod payload;
mod pool;

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::pool::Pool;
use super::expected::Expected;
use super::registry::Version;
use super::run_log::{LogStore, RunRecorder};
use super::scheduler::{RunId, Start};
use super::settings::Settings;
use crate::event::{Ack, Event, Id};
use crate::fault::{Fault, SourceLocation};
use crate::functions::{Context, RunUsage, Stop};
use crate::run::{Outcome, Skip};
use crate::script::{self, RunError};
use crate::services::Services;
use crate::services::mqtt::{self, Delivery};
use crate::services::store::{self, Batch, RunRecord};
use crate::value::Value;

/// How often a run of a held world looks whether it is its turn before it sleeps.
const MOMENTS: usize = 50;

/// How a run comes to its end.
pub(crate) enum End {
    /// The handler has returned, and what it published is on its way to the disk.
    Returned,
    /// Nothing is left to be done.
    Over(Outcome),
}

/// A run whose handler is at its end.
struct Called {
    start: Start<Arc<Version>>,
    id: Id,
    started: Timestamp,
    journal: Arc<RunRecorder>,
    settings: Arc<Settings>,
    outcome: Outcome,
}

/// Carries out runs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Executor {
    pool: Pool,
    services: Services,
    settings: watch::Receiver<Arc<Settings>>,
    lines: LogStore,
    expected: Arc<Expected>,
    runtime: tokio::runtime::Handle,
}

impl Executor {
    /// Makes an executor without threads, which come with the runs.
    pub(crate) fn new(
        services: Services,
        settings: watch::Receiver<Arc<Settings>>,
        lines: LogStore,
        expected: Arc<Expected>,
    ) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { pool: Pool::new(&runtime), services, settings, lines, expected, runtime }
    }

    /// Starts a run; never waits. Who is told of its end may have the same thread go on with another.
    pub(crate) fn start(
        &self,
        start: Start<Arc<Version>>,
        ended: impl Fn(RunId, End) -> Option<Start<Arc<Version>>> + Clone + Send + 'static,
    ) {
        let executor = self.clone();
        let stack = script::stack_size(&self.settings.borrow().config.limits);
        let job = Box::new(move || {
            let mut next = Some(start);
            let mut mark = None::<store::RunMarker>;
            while let Some(start) = next {
                let settings = executor.settings.borrow().clone();
                if script::stack_size(&settings.config.limits) > stack {
                    return executor.start(start, ended);
                }
                if !mark.as_ref().is_some_and(|mark| mark.is_of(&start.script)) {
                    mark = Some(executor.services.store.mark_running(&start.script));
                }
                let run = start.run;
                executor.await_turn(&start.script);
                let (called, promised) = executor.run(start, &settings);
                if promised.is_empty() {
                    next = ended(run, End::Over(executor.finish(called)));
                } else {
                    next = ended(run, End::Returned);
                    executor.runtime.spawn(executor.clone().finish_when_kept(called, promised, ended.clone()));
                }
            }
        });
        self.pool.submit(stack, job);
    }

    /// Waits for a run's turn, in a held world.
    fn await_turn(&self, script: &str) {
        let clock = &self.services.clock;
        if clock.is_simulated() {
            // What brought the run is mostly done in a moment, which is less than sleeping takes.
            let is_next = (0..MOMENTS).any(|_| {
                std::thread::yield_now();
                clock.is_sole_activity()
            });
            if is_next {
                return;
            }
            self.runtime.block_on(self.services.clock.wait_turn(script));
        }
    }

    /// Returns whether no run waits for a thread, so that one that has ended a run may go on with another.
    pub(crate) fn is_free(&self) -> bool {
        self.pool.is_free()
    }

    /// Notes an event that became no run.
    pub(crate) fn note_skip(&self, script: &str, version: &Version, trigger: &str, event: &Event, skip: &Skip) {
        let now = self.services.clock.now();
        let settings = self.settings.borrow().clone();
        let mask = &settings.mask;
        let (payload, fidelity) = payload::kept(&event.payload, mask, settings.config.history.payload);
        self.services.store.record(RunRecord {
            id: event.id.to_string(),
            script: script.to_owned(),
            version: version.number,
            trigger: trigger.to_owned(),
            event: mask.apply(&event.summary).into_owned(),
            payload,
            fidelity,
            attempt: 0,
            queued: event.at.timestamp(),
            started: None,
            ended: now,
            outcome: Outcome::Skipped(skip.clone()).word().to_owned(),
            why: Some(skip.reason().to_owned()),
            effects: Vec::new(),
        });
    }

    /// Carries out a run under the settings for which its thread was chosen.
    fn run(&self, start: Start<Arc<Version>>, settings: &Arc<Settings>) -> (Called, Vec<Delivery>) {
        let started = self.services.clock.now();
        if let Some(due) = start.event.delivery.scheduled.filter(|_| start.attempt == 0) {
            self.expected.count(&start.script, &start.target.name, due, started);
        }
        // The first try carries the event's name, so that both can be found by it.
        let id = if start.attempt == 0 { start.event.id.clone() } else { Id::new(started) };
        let woken = if start.attempt == 0 { start.event.at.timestamp() } else { started };
        let (lines, settings_now) = (self.lines.clone(), settings.clone());
        let journal = Arc::new(RunRecorder::new(start.script.clone(), id.to_string(), settings_now, lines, woken));
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
            pending_writes: Some(Mutex::default()),
            hops: start.event.delivery.hops,
            run_log: journal.clone(),
            is_dry_run: false,
            usage: RunUsage::default(),
        });
        let outcome = self.call(&start, &context, limit);
        let promised = if matches!(outcome, Outcome::Succeeded(_)) { promised(&context) } else { Vec::new() };
        (Called { start, id, started, journal, settings: settings.clone(), outcome }, promised)
    }

    /// Finishes a run when the disk has what it published; meanwhile its script goes on.
    async fn finish_when_kept(
        self,
        mut called: Called,
        promised: Vec<Delivery>,
        ended: impl Fn(RunId, End) -> Option<Start<Arc<Version>>> + Clone + Send + 'static,
    ) {
        if let Err(error) = kept(promised).await {
            called.outcome = not_kept(&called.start, "published", &error);
        }
        let run = called.start.run;
        let outcome = self.finish(called);
        if let Some(next) = ended(run, End::Over(outcome)) {
            self.start(next, ended);
        }
    }

    /// Reports a failure, and writes the run's row.
    fn finish(&self, called: Called) -> Outcome {
        let Called { start, id, started, journal, settings, outcome } = called;
        let outcome = mask(outcome, &settings);
        if let Outcome::Failed(fault) | Outcome::TimedOut(fault) = &outcome {
            journal.report(fault.report());
        }
        self.record(&start, &id, started, &outcome, &journal);
        if start.event.delivery.requires_ack() && outcome.is_failure() {
            // Its sender forgets it after this: what is left of it is the row.
            self.services.store.flush();
        }
        outcome
    }

    fn call(&self, start: &Start<Arc<Version>>, context: &Arc<Context>, limit: Duration) -> Outcome {
        if start.cancel.is_cancelled() {
            return Outcome::Cancelled;
        }
        let call = || start.version.call(start.target.handler, &start.event, context);
        let returned = std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let text = format!("a function panicked: {}", words.unwrap_or("without a word"));
            Err(RunError::Fault(Box::new(Fault { kind: "panic".into(), ..Fault::new(start.version.place(), text) })))
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

    fn commit(&self, start: &Start<Arc<Version>>, context: &Context, value: Value) -> Outcome {
        let mut batch = std::mem::take(&mut *context.batch.lock());
        batch.event_deliveries = self.services.bus.route(std::mem::take(&mut batch.emitted));
        let is_kept = !(batch.values.is_empty()
            && batch.timers_set.is_empty()
            && batch.timers_cancelled.is_empty()
            && batch.acknowledged_timers.is_empty()
            && batch.event_deliveries.is_empty());
        if (is_kept || !batch.acknowledged_events.is_empty())
            && let Err(error) = self.keep_now(context)
        {
            return not_kept(start, "published", &error);
        }
        if is_kept {
            if let Err(error) = self.services.store.commit(&batch) {
                return not_kept(start, "did to state, timers and events", &error);
            }
            self.services.timers.apply_commit(&batch);
        } else {
            // A run that has done nothing but hear it need not wait for the disk.
            start.event.delivery.ack.iter().for_each(|ack| self.services.acknowledge(ack));
        }
        if !batch.event_deliveries.is_empty() {
            let missed = self.runtime.block_on(self.services.bus.deliver(batch.event_deliveries));
            missed.into_iter().for_each(|number| self.services.acknowledge(&Ack::Emitted(number)));
        }
        Outcome::Succeeded(value)
    }

    /// Waits until the disk has what the run published, which its other effects come after.
    fn keep_now(&self, context: &Context) -> Result<(), mqtt::Error> {
        let promised = promised(context);
        if promised.is_empty() {
            return Ok(());
        }
        context.services.mqtt.flush_now();
        self.runtime.block_on(kept(promised))
    }

    fn record(
        &self,
        start: &Start<Arc<Version>>,
        id: &Id,
        started: Timestamp,
        outcome: &Outcome,
        journal: &RunRecorder,
    ) {
        let settings = self.settings.borrow().clone();
        let mask = &settings.mask;
        let (payload, fidelity) = payload::kept(&start.event.payload, mask, settings.config.history.payload);
        let why = match outcome {
            Outcome::Failed(fault) | Outcome::TimedOut(fault) => Some(fault.report()),
            Outcome::Skipped(skip) => Some(skip.reason().to_owned()),
            Outcome::Succeeded(_) | Outcome::Cancelled => None,
        };
        self.services.store.record(RunRecord {
            id: id.to_string(),
            script: start.script.to_string(),
            version: start.version.number,
            trigger: start.target.name.to_string(),
            event: mask.apply(&start.event.summary).into_owned(),
            payload,
            fidelity,
            attempt: start.attempt,
            queued: start.event.at.timestamp(),
            started: Some(started),
            ended: self.services.clock.now(),
            outcome: outcome.word().to_owned(),
            why,
            effects: journal.take_effects(),
        });
    }
}

/// Takes the messages that the disk must have before a run is done.
fn promised(context: &Context) -> Vec<Delivery> {
    let promised = context.pending_writes.as_ref();
    promised.map(|all| std::mem::take(&mut *all.lock())).unwrap_or_default()
}

/// Waits until the disk has all of them.
async fn kept(promised: Vec<Delivery>) -> Result<(), mqtt::Error> {
    for delivery in promised {
        delivery.await?;
    }
    Ok(())
}

fn not_kept(start: &Start<Arc<Version>>, what: &str, error: &dyn Display) -> Outcome {
    let place = SourceLocation { line: 0, column: 0, ..start.version.place() };
    let text = format!("what the run {what} is not kept: {error}");
    Outcome::Failed(Box::new(Fault { kind: "store".into(), ..Fault::new(place, text) }))
}

fn mask(outcome: Outcome, settings: &Settings) -> Outcome {
    match outcome {
        Outcome::Failed(fault) => Outcome::Failed(mask_fault(fault, settings)),
        Outcome::TimedOut(fault) => Outcome::TimedOut(mask_fault(fault, settings)),
        other => other,
    }
}

fn mask_fault(mut fault: Box<Fault>, settings: &Settings) -> Box<Fault> {
    fault.text = settings.mask.apply(&fault.text).into_owned();
    let hide = |text: &str| settings.mask.apply(text).into_owned();
    fault.source_line = fault.source_line.as_deref().map(hide);
    fault.hint = fault.hint.as_deref().map(hide);
    fault
}
