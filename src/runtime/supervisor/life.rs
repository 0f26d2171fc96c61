//! The life of a script: it goes live, is exchanged while it lives, and comes to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::Supervisor;
use crate::config::Level;
use crate::event::Event;
use crate::run::Skip;
use crate::runtime::dispatcher::{Dispatcher, Swap};
use crate::runtime::registry::{Life, Live, Version, name_of};
use crate::runtime::reload::{Diff, Side, describe, diff};
use crate::runtime::run_log::LogStore;
use crate::runtime::scheduler::{EventHandoff, QueueId};
use crate::services::Services;
use crate::triggers::{EventSender, Lifecycle, Trigger, TriggerId, Watch};
use crate::value::{Value, map_of};

/// How long a watch that is told to stop may take.
const WATCH_LIMIT: Duration = Duration::from_secs(5);
/// How long cancelled runs may take to end.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Why a script comes to its end, as `stop.reason` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Its file is gone.
    Removed,
    /// It was disabled by hand.
    Disabled,
    /// `permissions:` no longer allow what it declares.
    Denied,
    /// The process is stopping.
    Stopping,
}

impl StopReason {
    fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Disabled => "disabled",
            Self::Denied => "denied",
            Self::Stopping => "stopping",
        }
    }
}

impl Supervisor {
    /// Puts a version in the place of what lives, if something does; returns what changed, in words.
    ///
    /// Triggers that stay are not touched; gone ones are stopped and waited for before new ones start.
    /// What did not live yet only hears other scripts, until [`Supervisor::wake`].
    pub(super) async fn exchange(&mut self, name: &str, version: Arc<Version>) -> String {
        let is_newborn = self.registry.get(name).is_none_or(|entry| entry.life.is_none());
        let mut old = self.take_life(name, &version);
        let settings = self.settings.borrow().clone();
        let old_sides = if old.triggers.is_empty() { Vec::new() } else { sides(&old.version) };
        let new_sides = sides(&version);
        let changes = diff(&old_sides, &new_sides);
        // Where clocks or the sun stand otherwise, every watch begins anew.
        let is_elsewhere = !old.settings.is_where(&settings);
        // What comes between the end of one watch and the start of the next waits for that.
        let pause = settings.services.mqtt.pause_delivery();
        for (at, live) in old.triggers.iter_mut().enumerate() {
            if is_elsewhere || changes.gone.contains(&at) {
                stop_watch(&self.lines, name, live.watch.take()).await;
            }
        }
        let triggers = changes.kept.iter().map(|kept| match kept {
            Some(at) => Live { id: old.triggers[*at].id, watch: old.triggers[*at].watch.take() },
            None => {
                self.last_trigger += 1;
                Live { id: TriggerId(self.last_trigger), watch: None }
            }
        });
        let names: Vec<String> = version.script.declarations.iter().map(name_of).collect();
        self.expected.keep_only(name, &names);
        let mut life = Life { lane: old.lane, triggers: triggers.collect(), version, settings };
        let script: Arc<str> = name.into();
        let gone = changes.gone.iter().map(|at| old.triggers[*at].id).zip(&changes.gone);
        let heirs = heirs(&old.version, gone.map(|(id, at)| (id, *at)).collect(), &life, &changes);
        self.desk.swap(Swap { heirs, ..life.swap(&script, Skip::TriggerGone) });
        self.start_watches(&script, &mut life, |trigger| !is_newborn || trigger.receives_emitted_events());
        drop(pause);
        if let Some(entry) = self.registry.get_mut(name) {
            entry.life = Some(life);
        }
        describe(&old_sides, &new_sides, &changes)
    }

    /// Takes what lives of a script, or begins a life without triggers.
    fn take_life(&mut self, name: &str, version: &Arc<Version>) -> Life {
        let entry = self.registry.get_mut(name);
        entry.and_then(|entry| entry.life.take()).unwrap_or_else(|| {
            self.last_lane += 1;
            let settings = self.settings.borrow().clone();
            Life { lane: QueueId(self.last_lane), version: version.clone(), triggers: Vec::new(), settings }
        })
    }

    /// Starts what newborn scripts do not watch yet, once each of them hears what the others emit.
    pub(super) fn wake(&mut self, names: &[String]) {
        let _pause = self.settings.borrow().services.mqtt.pause_delivery();
        for name in names {
            let Some(mut life) = self.registry.get_mut(name).and_then(|entry| entry.life.take()) else { continue };
            self.start_watches(&name.as_str().into(), &mut life, |_| true);
            if let Some(entry) = self.registry.get_mut(name) {
                entry.life = Some(life);
            }
        }
    }

    fn start_watches(&self, script: &Arc<str>, life: &mut Life, is_meant: impl Fn(&dyn Trigger) -> bool) {
        let services = &life.settings.services;
        for (live, declared) in life.triggers.iter_mut().zip(&life.version.script.declarations) {
            if live.watch.is_none() && !declared.policy.disabled && is_meant(&*declared.trigger) {
                let fire = EventSender::new(live.id, script.clone(), self.desk.inbox(), services.clock.clone());
                live.watch = Some(declared.trigger.watch(fire, services));
            }
        }
    }

    /// Wakes the script's `on_start` handlers.
    pub(super) async fn tell_start(&self, name: &str, reason: &str) {
        let Some(life) = self.registry.get(name).and_then(|entry| entry.life.as_ref()) else { return };
        let services = self.settings.borrow().services.clone();
        for id in at_moment(life, Lifecycle::Start) {
            let fire = EventSender::new(id, name.into(), self.desk.inbox(), services.clock.clone());
            fire.tell(moment_event(&services, "on_start", reason));
        }
    }

    /// Brings a life to its end, in a task of its own: others do not wait for its runs.
    pub(super) async fn retire(&mut self, name: &str, life: Life, skip: Skip, reason: StopReason) {
        self.until_retired(name).await;
        let limit = self.settings.borrow().config.limits.stop;
        let services = self.settings.borrow().services.clone();
        let (desk, lines) = (self.desk.clone(), self.lines.clone());
        let script: Arc<str> = name.into();
        let end = tokio::spawn(async move {
            let lane = life.lane;
            let ended = End { services, desk: desk.clone(), script, life, skip: skip.clone(), reason, limit };
            ended.come(&lines).await;
            desk.remove(lane, skip);
        });
        self.retiring.insert(name.to_owned(), end);
    }

    /// Waits until an earlier life of a script has come to its end.
    pub(super) async fn until_retired(&mut self, name: &str) {
        self.retiring.retain(|script, end| script == name || !end.is_finished());
        if let Some(end) = self.retiring.remove(name) {
            // A task that panicked has said so.
            let _ = end.await;
        }
    }
}

impl Life {
    /// Returns what its lane is to become: all its triggers.
    fn swap(&self, script: &Arc<str>, skip: Skip) -> Swap {
        let (lane, version) = (self.lane, self.version.clone());
        Swap { lane, script: script.clone(), version, targets: self.targets(), heirs: Box::new(|_, _| None), skip }
    }
}

struct End {
    services: Services,
    desk: Dispatcher,
    script: Arc<str>,
    life: Life,
    skip: Skip,
    reason: StopReason,
    limit: Duration,
}

impl End {
    async fn come(mut self, lines: &LogStore) {
        for live in &mut self.life.triggers {
            stop_watch(lines, &self.script, live.watch.take()).await;
        }
        let last: Vec<TriggerId> = at_moment(&self.life, Lifecycle::Stop).collect();
        let lane = self.life.lane;
        let mut swap = self.life.swap(&self.script, self.skip.clone());
        swap.targets.retain(|(id, _)| last.contains(id));
        self.desk.swap(swap);
        if self.reason == StopReason::Disabled {
            self.desk.cancel(Some(lane));
        }
        self.finish().await;
        let asked = last.iter().map(|id| {
            let voice = EventSender::new(*id, self.script.clone(), self.desk.inbox(), self.services.clock.clone());
            let event = moment_event(&self.services, "on_stop", self.reason.word());
            async move { voice.ask(event).outcome().await }
        });
        if timeout(self.limit, join_all(asked)).await.is_err() {
            let text =
                format!("its on_stop was cancelled after {} (`limits.stop`)", crate::units::show_duration(self.limit));
            lines.say(Level::Warn, &self.script, text);
            self.desk.cancel(Some(lane));
            let _ = timeout(CANCEL_LIMIT, self.desk.idle(Some(lane))).await;
        }
    }

    /// Lets the runs that go on finish, up to the limit, and then cancels them.
    async fn finish(&self) {
        let lane = Some(self.life.lane);
        if timeout(self.limit, self.desk.idle(lane)).await.is_err() {
            self.desk.cancel(lane);
            // A run that does not end even so is given up with its thread.
            let _ = timeout(CANCEL_LIMIT, self.desk.idle(lane)).await;
        }
    }
}

/// Finds who takes over the events of triggers that are gone: new ones of the same kind, first the one with the same name.
fn heirs(old: &Arc<Version>, gone: Vec<(TriggerId, usize)>, life: &Life, changes: &Diff) -> Box<EventHandoff> {
    let fresh = changes.kept.iter().enumerate().filter(|(_, kept)| kept.is_none());
    let fresh: Vec<(TriggerId, usize)> = fresh.map(|(at, _)| (life.triggers[at].id, at)).collect();
    let (old, new) = (old.clone(), life.version.clone());
    Box::new(move |trigger, event| {
        let (_, at) = gone.iter().find(|(id, _)| *id == trigger)?;
        let before = &old.script.declarations[*at];
        let mut candidates: Vec<_> = fresh.iter().map(|(id, at)| (*id, &new.script.declarations[*at])).collect();
        candidates.retain(|(_, declared)| declared.kind == before.kind && !declared.policy.disabled);
        candidates.sort_by_key(|(_, declared)| name_of(declared) != name_of(before));
        candidates.into_iter().find_map(|(id, declared)| Some((id, declared.trigger.take_over(event)?)))
    })
}

fn at_moment(life: &Life, lifecycle: Lifecycle) -> impl Iterator<Item = TriggerId> {
    let declared = life.version.script.declarations.iter();
    let meant = life
        .triggers
        .iter()
        .zip(declared)
        .filter(move |(_, declared)| declared.trigger.lifecycle() == Some(lifecycle) && !declared.policy.disabled);
    meant.map(|(live, _)| live.id)
}

fn moment_event(services: &Services, kind: &str, reason: &str) -> Event {
    let payload = map_of([("reason".to_owned(), Value::from(reason))]);
    Event::new(services.clock.now_zoned(), format!("{kind} ({reason})"), payload)
}

async fn stop_watch(lines: &LogStore, script: &str, watch: Option<Watch>) {
    let Some(watch) = watch else { return };
    if timeout(WATCH_LIMIT, watch.stop()).await.is_err() {
        lines.say(Level::Warn, script, "a trigger that was told to stop takes long; it is left behind");
    }
}

fn sides(version: &Version) -> Vec<Side> {
    let declared = version.script.declarations.iter();
    let side = |declared: &crate::script::Declaration| Side {
        identity: declared.identity.clone(),
        summary: declared.trigger.summary(),
        policy: crate::run::Policy { name: Some(name_of(declared)), ..declared.policy.clone() },
    };
    declared.map(side).collect()
}
