//! Exchanges versions in a transaction: scripts that share a changed file change together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Supervisor, Why};
use crate::config::Level;
use crate::effect::Effect;
use crate::event::Id;
use crate::fault::{Fault, SourceLocation};
use crate::runtime::load::Loaded;
use crate::runtime::registry::Version;
use crate::runtime::reload::{accepted_line, groups, idle_line, rejected_report};
use crate::runtime::sources::{Seen, fingerprint};
use crate::script::Script;
use crate::services::store::{PayloadFidelity, RunRecord};
use crate::value::Value;

impl Supervisor {
    pub(super) async fn exchange_groups(&mut self, mut next: BTreeMap<String, Loaded>, why: &Why) {
        let changed =
            next.iter().map(|(name, loaded)| (name.clone(), self.changed_files(name, &loaded.seen))).collect();
        for group in groups(&changed) {
            let members: Vec<Loaded> = group.iter().filter_map(|name| next.remove(name)).collect();
            let blocker = members.iter().find(|loaded| loaded.result.is_err() && !self.was_broken_alone(loaded));
            let blocker = blocker.map(|loaded| loaded.request.file.clone());
            for loaded in members {
                match (loaded.result, &blocker) {
                    (Err(faults), _) => self.reject(&loaded.request.name, loaded.seen, faults, why).await,
                    (Ok(_), Some(blocker)) => {
                        let text = format!("`{blocker}`, which changes together with it, was rejected");
                        let place = SourceLocation { file: loaded.request.file, ..SourceLocation::default() };
                        let faults = vec![Fault::new(place, text)];
                        self.reject(&loaded.request.name, loaded.seen, faults, why).await;
                    }
                    (Ok(script), None) => {
                        let name = loaded.request.name;
                        self.accept(&name, script, loaded.seen, loaded.took, why).await;
                    }
                }
            }
        }
    }

    fn changed_files(&self, name: &str, seen: &Seen) -> BTreeSet<String> {
        let old = self.registry.get(name).map(|entry| &entry.seen);
        let is_new = |(file, print): &(&str, Option<u64>)| old.and_then(|old| old.get(file)) != Some(*print);
        seen.iter().filter(is_new).map(|(file, _)| file.to_owned()).collect()
    }

    /// Returns whether a script that fails now was rejected before for what its own file says: it does not hold up the others.
    fn was_broken_alone(&self, loaded: &Loaded) -> bool {
        self.registry.get(&loaded.request.name).is_some_and(|entry| {
            let own = &entry.file;
            let text = entry.life.as_ref().and_then(|life| life.version.script.files.first()).map(|(_, text)| text);
            let is_edited = text.is_some_and(|text| loaded.seen.get(own) != Some(Some(fingerprint(text))));
            entry.rejected.is_some() && is_edited && entry.seen.get(own) == loaded.seen.get(own)
        })
    }

    /// Keeps what lives, unless the config that has changed does not allow that either.
    async fn reject(&mut self, name: &str, seen: Seen, faults: Vec<Fault>, why: &Why) {
        let denied = if matches!(why, Why::Config(_)) { self.denied(name).await } else { None };
        let Some(entry) = self.registry.get_mut(name) else { return };
        if let Some(denied) = denied {
            entry.seen = seen;
            entry.rejected = Some(faults);
            return self.let_denied_go(name, &denied).await;
        }
        let kept = entry.life.as_ref().map(|life| life.version.number);
        let number = kept.unwrap_or_default() + 1;
        let report = rejected_report(kept, number, &faults);
        self.lines.say(Level::Error, name, report.clone());
        entry.seen = seen;
        entry.rejected = Some(faults);
        self.note(name, number, "failed", Some(report), Vec::new());
    }

    async fn accept(&mut self, name: &str, script: Script, seen: Seen, took: Duration, why: &Why) {
        let Some(entry) = self.registry.get_mut(name) else { return };
        let Some(life) = &entry.life else { return };
        let (old, is_job) = (life.version.number, entry.is_job);
        let is_same = life.version.script.files == script.files;
        entry.seen = seen;
        let was_rejected = entry.rejected.take().is_some();
        if is_same && !why.forces(name) {
            if was_rejected {
                self.lines.say(Level::Info, name, format!("{name} is back at v{old}, which runs"));
            }
            return;
        }
        let number = if is_same { old } else { self.keep_accepted(name, &script, old).await };
        let is_idle = script.declarations.is_empty();
        let changes = self.exchange(name, Arc::new(Version { number, script, is_job })).await;
        if is_same && changes.is_empty() {
            return;
        }
        self.lines.say(Level::Info, name, accepted_line("reloaded", name, number, took, &changes));
        if is_idle {
            self.lines.say(Level::Warn, name, idle_line(name));
        }
        self.note(name, number, "succeeded", None, vec![changes]);
        self.tell_start(name, why.start_reason()).await;
    }

    async fn keep_accepted(&self, name: &str, script: &Script, old: u64) -> u64 {
        let (store, script_name, files) = (self.services.store.clone(), name.to_owned(), script.files.clone());
        let kept = tokio::task::spawn_blocking(move || store.accept_version(&script_name, &files)).await;
        match kept.map_err(|error| error.to_string()).and_then(|kept| kept.map_err(|error| error.to_string())) {
            Ok(number) => number,
            Err(error) => {
                let text = format!("v{} runs but is not kept for the next start: {error}", old + 1);
                self.lines.say(Level::Error, name, text);
                old + 1
            }
        }
    }

    /// Notes a change of a script in the ledger.
    fn note(&self, name: &str, version: u64, outcome: &str, why: Option<String>, effects: Vec<String>) {
        let now = self.services.clock.now();
        self.services.store.record(RunRecord {
            id: Id::new(now).to_string(),
            script: name.to_owned(),
            version,
            trigger: "reload".to_owned(),
            event: "the file was saved".to_owned(),
            payload: Value::Null,
            fidelity: PayloadFidelity::Whole,
            attempt: 0,
            queued: now,
            started: Some(now),
            ended: now,
            outcome: outcome.to_owned(),
            why,
            effects: effects
                .into_iter()
                .filter(|change| !change.is_empty())
                .map(|change| Effect::new("reload", change))
                .collect(),
        });
    }
}
