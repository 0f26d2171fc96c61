//! Stops scripts: ends their triggers, waits for their runs, and runs their `on_stop` handlers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::model::{StopReason, Supervisor};
use crate::config::Level;
use crate::event::Event;
use crate::run::Skip;
use crate::runtime::dispatcher::{Dispatcher, Swap};
use crate::runtime::registry::ActiveScript;
use crate::runtime::run_log::LogStore;
use crate::services::Services;
use crate::triggers::{EventSender, Lifecycle, TriggerId, Watch};
use crate::units::show_duration;
use crate::value::{Value, map_of};

/// Time limit for the stop of a watch.
const WATCH_LIMIT: Duration = Duration::from_secs(5);
/// Time limit for the end of cancelled runs.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Stops a script in a task of its own, so that other scripts do not wait for its runs.
    pub(super) async fn retire(&mut self, name: &str, active: ActiveScript, skip: Skip, reason: StopReason) {
        self.wait_until_retired(name).await;
        let limit = self.settings.borrow().config.limits.stop;
        let services = self.settings.borrow().services.clone();
        let (dispatcher, log) = (self.dispatcher.clone(), self.log.clone());
        let script: Arc<str> = name.into();
        let task = tokio::spawn(async move {
            let queue = active.queue;
            let dispatcher_of_run = dispatcher.clone();
            let shutdown = ScriptShutdown {
                services,
                dispatcher: dispatcher_of_run,
                script,
                active,
                skip: skip.clone(),
                reason,
                limit,
            };
            shutdown.run(&log).await;
            dispatcher.remove(queue, skip);
        });
        self.retiring.insert(name.to_owned(), task);
    }

    /// Waits for an unfinished shutdown of a script.
    pub(super) async fn wait_until_retired(&mut self, name: &str) {
        self.retiring.retain(|script, task| script == name || !task.is_finished());
        if let Some(task) = self.retiring.remove(name) {
            // A panic of the task was logged by the panic hook.
            let _ = task.await;
        }
    }
}

impl ActiveScript {
    /// Returns the swap that directs the events of all triggers to this version.
    pub(super) fn swap(&self, script: &Arc<str>, skip: Skip) -> Swap {
        let (queue, version) = (self.queue, self.version.clone());
        Swap { queue, script: script.clone(), version, targets: self.targets(), handoff: Box::new(|_, _| None), skip }
    }
}

/// Shutdown of one script.
struct ScriptShutdown {
    services: Arc<Services>,
    dispatcher: Dispatcher,
    script: Arc<str>,
    active: ActiveScript,
    skip: Skip,
    reason: StopReason,
    limit: Duration,
}

impl ScriptShutdown {
    async fn run(mut self, log: &LogStore) {
        for trigger in &mut self.active.triggers {
            stop_watch(log, &self.script, trigger.watch.take()).await;
        }
        let on_stop: Vec<TriggerId> = triggers_of(&self.active, Lifecycle::Stop).collect();
        let queue = self.active.queue;
        let mut swap = self.active.swap(&self.script, self.skip.clone());
        swap.targets.retain(|(id, _)| on_stop.contains(id));
        self.dispatcher.swap(swap);
        if self.reason == StopReason::Disabled {
            self.dispatcher.cancel(Some(queue));
        }
        self.finish_runs().await;
        let pending = on_stop.iter().map(|id| {
            let (inbox, clock) = (self.dispatcher.inbox(), self.services.clock.clone());
            let sender = EventSender::new(*id, self.script.clone(), inbox, clock);
            let event = lifecycle_event(&self.services, "on_stop", self.reason.word());
            async move { sender.ask(event).outcome().await }
        });
        if timeout(self.limit, join_all(pending)).await.is_err() {
            let text = format!("its on_stop was cancelled after {} (`limits.stop`)", show_duration(self.limit));
            log.write(Level::Warn, &self.script, text);
            self.dispatcher.cancel(Some(queue));
            let _ = timeout(CANCEL_LIMIT, self.dispatcher.idle(Some(queue))).await;
        }
    }

    /// Waits for queued and running events up to the limit, then cancels the rest.
    async fn finish_runs(&self) {
        let queue = Some(self.active.queue);
        if timeout(self.limit, self.dispatcher.idle(queue)).await.is_err() {
            self.dispatcher.cancel(queue);
            // A run that ignores its cancellation is abandoned together with its thread.
            let _ = timeout(CANCEL_LIMIT, self.dispatcher.idle(queue)).await;
        }
    }
}

/// Returns the enabled triggers of a script for a lifecycle event.
pub(super) fn triggers_of(active: &ActiveScript, lifecycle: Lifecycle) -> impl Iterator<Item = TriggerId> {
    let declared = active.triggers.iter().zip(&active.version.script.declarations);
    let matching = declared
        .filter(move |(_, declared)| declared.trigger.lifecycle() == Some(lifecycle) && !declared.policy.disabled);
    matching.map(|(trigger, _)| trigger.id)
}

/// Returns the event of a lifecycle trigger.
pub(super) fn lifecycle_event(services: &Services, kind: &str, reason: &str) -> Event {
    let payload = map_of([("reason".to_owned(), Value::from(reason))]);
    Event::new(services.clock.now(), format!("{kind} ({reason})"), payload)
}

/// Stops a watch; after [`WATCH_LIMIT`] it is abandoned.
pub(super) async fn stop_watch(log: &LogStore, script: &str, watch: Option<Watch>) {
    let Some(watch) = watch else { return };
    if timeout(WATCH_LIMIT, watch.stop()).await.is_err() {
        log.write(Level::Warn, script, "a trigger did not stop within 5s and was abandoned");
    }
}
