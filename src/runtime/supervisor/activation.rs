//! Activates versions of scripts and starts their triggers.

use std::sync::Arc;

use super::model::Supervisor;
use super::shutdown::{lifecycle_event, stop_watch, triggers_of};
use crate::run::{Policy, Skip};
use crate::runtime::dispatcher::Swap;
use crate::runtime::registry::{ActiveScript, ActiveTrigger, ScriptVersion, trigger_name};
use crate::runtime::reload::{TriggerDiff, TriggerInfo, describe, diff};
use crate::runtime::scheduler::{EventHandoff, QueueId};
use crate::script::Declaration;
use crate::triggers::{EventSender, Lifecycle, Trigger, TriggerId};

impl Supervisor {
    /// Replaces the active version of a script, or activates the first one; returns a description of the changed triggers.
    ///
    /// Unchanged triggers keep running. Removed ones are stopped and awaited before new ones start. Of a new script only triggers that
    /// receive emitted events are started; [`Supervisor::start_remaining_watches`] starts the others.
    pub(super) async fn exchange(&mut self, name: &str, version: Arc<ScriptVersion>) -> String {
        let is_new = self.registry.get(name).is_none_or(|entry| entry.active.is_none());
        let mut old = self.take_active(name, &version);
        let settings = self.settings.borrow().clone();
        let old_infos = if old.triggers.is_empty() { Vec::new() } else { trigger_infos(&old.version) };
        let new_infos = trigger_infos(&version);
        let changes = diff(&old_infos, &new_infos);
        // A new time zone or location changes the times of every watch.
        let restarts_all = !old.settings.has_same_times(&settings);
        // Messages that arrive between the end of one watch and the start of the next wait until the guard is dropped.
        let pause = settings.services.mqtt.pause_delivery();
        for (at, trigger) in old.triggers.iter_mut().enumerate() {
            if restarts_all || changes.gone.contains(&at) {
                stop_watch(&self.log, name, trigger.watch.take()).await;
            }
        }
        let triggers = changes.kept.iter().map(|kept| match kept {
            Some(at) => ActiveTrigger { id: old.triggers[*at].id, watch: old.triggers[*at].watch.take() },
            None => {
                self.last_trigger += 1;
                ActiveTrigger { id: TriggerId(self.last_trigger), watch: None }
            }
        });
        let names: Vec<String> = version.script.declarations.iter().map(trigger_name).collect();
        self.punctuality.retain(name, &names);
        let mut active = ActiveScript { queue: old.queue, triggers: triggers.collect(), version, settings };
        let script: Arc<str> = name.into();
        let gone = changes.gone.iter().map(|at| (old.triggers[*at].id, *at)).collect();
        let handoff = handoff(&old.version, gone, &active, &changes);
        self.dispatcher.swap(Swap { handoff, ..active.swap(&script, Skip::TriggerGone) });
        self.start_watches(&script, &mut active, |trigger| !is_new || trigger.receives_emitted_events());
        drop(pause);
        if let Some(entry) = self.registry.get_mut(name) {
            entry.active = Some(active);
        }
        describe(&old_infos, &new_infos, &changes)
    }

    /// Takes the active version of a script, or creates one without triggers.
    fn take_active(&mut self, name: &str, version: &Arc<ScriptVersion>) -> ActiveScript {
        let entry = self.registry.get_mut(name);
        entry.and_then(|entry| entry.active.take()).unwrap_or_else(|| {
            self.last_queue += 1;
            let settings = self.settings.borrow().clone();
            ActiveScript { queue: QueueId(self.last_queue), version: version.clone(), triggers: Vec::new(), settings }
        })
    }

    /// Starts the remaining triggers of new scripts, once all of them receive the events that the others emit.
    pub(super) fn start_remaining_watches(&mut self, names: &[String]) {
        let _pause = self.settings.borrow().services.mqtt.pause_delivery();
        for name in names {
            let Some(mut active) = self.registry.get_mut(name).and_then(|entry| entry.active.take()) else { continue };
            self.start_watches(&name.as_str().into(), &mut active, |_| true);
            if let Some(entry) = self.registry.get_mut(name) {
                entry.active = Some(active);
            }
        }
    }

    fn start_watches(&self, script: &Arc<str>, active: &mut ActiveScript, is_included: impl Fn(&dyn Trigger) -> bool) {
        let services = &active.settings.services;
        for (trigger, declared) in active.triggers.iter_mut().zip(&active.version.script.declarations) {
            if trigger.watch.is_none() && !declared.policy.disabled && is_included(&*declared.trigger) {
                let (inbox, clock) = (self.dispatcher.inbox(), services.clock.clone());
                let sender = EventSender::new(trigger.id, script.clone(), inbox, clock);
                trigger.watch = Some(declared.trigger.watch(sender, services));
            }
        }
    }

    /// Sends the events of the script's `on_start` triggers.
    pub(super) async fn send_start_events(&self, name: &str, reason: &str) {
        let Some(active) = self.registry.get(name).and_then(|entry| entry.active.as_ref()) else { return };
        let services = self.settings.borrow().services.clone();
        for id in triggers_of(active, Lifecycle::Start) {
            let sender = EventSender::new(id, name.into(), self.dispatcher.inbox(), services.clock.clone());
            sender.tell(lifecycle_event(&services, "on_start", reason));
        }
    }
}

/// Returns the handoff of queued events of removed triggers: to new triggers of the same kind, preferably with the same name.
fn handoff(
    old: &Arc<ScriptVersion>,
    gone: Vec<(TriggerId, usize)>,
    active: &ActiveScript,
    changes: &TriggerDiff,
) -> Box<EventHandoff> {
    let added = changes.kept.iter().enumerate().filter(|(_, kept)| kept.is_none());
    let added: Vec<(TriggerId, usize)> = added.map(|(at, _)| (active.triggers[at].id, at)).collect();
    let (old, new) = (old.clone(), active.version.clone());
    Box::new(move |trigger, event| {
        let (_, at) = gone.iter().find(|(id, _)| *id == trigger)?;
        let before = &old.script.declarations[*at];
        let mut candidates: Vec<_> = added.iter().map(|(id, at)| (*id, &new.script.declarations[*at])).collect();
        candidates.retain(|(_, declared)| declared.kind == before.kind && !declared.policy.disabled);
        candidates.sort_by_key(|(_, declared)| trigger_name(declared) != trigger_name(before));
        candidates.into_iter().find_map(|(id, declared)| Some((id, declared.trigger.take_over(event)?)))
    })
}

fn trigger_infos(version: &ScriptVersion) -> Vec<TriggerInfo> {
    let info = |declared: &Declaration| TriggerInfo {
        identity: declared.identity.clone(),
        summary: declared.trigger.summary(),
        policy: Policy { name: Some(trigger_name(declared)), ..declared.policy.clone() },
    };
    version.script.declarations.iter().map(info).collect()
}
