//! Replaces versions in transactions: scripts that share a changed file are replaced together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::model::{Supervisor, SyncReason};
use crate::config::Level;
use crate::effect::Effect;
use crate::event::Id;
use crate::fault::{Fault, SourceLocation};
use crate::runtime::load::Loaded;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::reload::{accepted_message, groups, no_trigger_warning, rejected_message};
use crate::runtime::sources::{FileFingerprints, fingerprint};
use crate::script::Script;
use crate::services::store::{PayloadFidelity, RunRecord};
use crate::value::Value;

impl Supervisor {
    pub(super) async fn exchange_groups(&mut self, mut next: BTreeMap<String, Loaded>, reason: &SyncReason) {
        let changed =
            next.iter().map(|(name, loaded)| (name.clone(), self.changed_files(name, &loaded.fingerprints))).collect();
        for group in groups(&changed) {
            let members: Vec<Loaded> = group.iter().filter_map(|name| next.remove(name)).collect();
            let blocker = members.iter().find(|loaded| loaded.result.is_err() && !self.was_broken_alone(loaded));
            let blocker = blocker.map(|loaded| loaded.request.file.clone());
            for loaded in members {
                match (loaded.result, &blocker) {
                    (Err(faults), _) => self.reject(&loaded.request.name, loaded.fingerprints, faults, reason).await,
                    (Ok(_), Some(blocker)) => {
                        let text = format!("`{blocker}`, which changes together with it, was rejected");
                        let place = SourceLocation { file: loaded.request.file, ..SourceLocation::default() };
                        let faults = vec![Fault::new(place, text)];
                        self.reject(&loaded.request.name, loaded.fingerprints, faults, reason).await;
                    }
                    (Ok(script), None) => {
                        let name = loaded.request.name;
                        self.accept(&name, script, loaded.fingerprints, loaded.took, reason).await;
                    }
                }
            }
        }
    }

    fn changed_files(&self, name: &str, fingerprints: &FileFingerprints) -> BTreeSet<String> {
        let old = self.registry.get(name).map(|entry| &entry.fingerprints);
        let is_new = |(file, print): &(&str, Option<u64>)| old.and_then(|old| old.get(file)) != Some(*print);
        fingerprints.iter().filter(is_new).map(|(file, _)| file.to_owned()).collect()
    }

    /// Returns whether a script that fails now was rejected before because of its own file: it does not block its group.
    fn was_broken_alone(&self, loaded: &Loaded) -> bool {
        self.registry.get(&loaded.request.name).is_some_and(|entry| {
            let own = &entry.file;
            let text =
                entry.active.as_ref().and_then(|active| active.version.script.files.first()).map(|(_, text)| text);
            let is_edited = text.is_some_and(|text| loaded.fingerprints.get(own) != Some(Some(fingerprint(text))));
            entry.rejected.is_some() && is_edited && entry.fingerprints.get(own) == loaded.fingerprints.get(own)
        })
    }

    /// Keeps the active version, unless the changed configuration denies it too.
    async fn reject(&mut self, name: &str, fingerprints: FileFingerprints, faults: Vec<Fault>, reason: &SyncReason) {
        let denied = if matches!(reason, SyncReason::Config(_)) { self.denied(name).await } else { None };
        let Some(entry) = self.registry.get_mut(name) else { return };
        if let Some(denied) = denied {
            entry.fingerprints = fingerprints;
            entry.rejected = Some(faults);
            return self.stop_denied(name, &denied).await;
        }
        let kept = entry.active.as_ref().map(|active| active.version.number);
        let number = kept.unwrap_or_default() + 1;
        let report = rejected_message(kept, number, &faults);
        self.log.write(Level::Error, name, report.clone());
        entry.fingerprints = fingerprints;
        entry.rejected = Some(faults);
        self.record(name, number, "failed", Some(report), Vec::new());
    }

    async fn accept(
        &mut self,
        name: &str,
        script: Script,
        fingerprints: FileFingerprints,
        took: Duration,
        reason: &SyncReason,
    ) {
        let Some(entry) = self.registry.get_mut(name) else { return };
        let Some(active) = &entry.active else { return };
        let (old, is_job) = (active.version.number, entry.is_job);
        let is_same = active.version.script.files == script.files;
        entry.fingerprints = fingerprints;
        let was_rejected = entry.rejected.take().is_some();
        if is_same && !reason.forces(name) {
            if was_rejected {
                self.log.write(Level::Info, name, format!("{name} is back at v{old}"));
            }
            return;
        }
        let number = if is_same { old } else { self.store_accepted(name, &script, old).await };
        let is_idle = script.declarations.is_empty();
        let changes = self.exchange(name, Arc::new(ScriptVersion { number, script, is_job })).await;
        if is_same && changes.is_empty() {
            return;
        }
        self.log.write(Level::Info, name, accepted_message("reloaded", name, number, took, &changes));
        if is_idle {
            self.log.write(Level::Warn, name, no_trigger_warning(name));
        }
        self.record(name, number, "succeeded", None, vec![changes]);
        self.send_start_events(name, reason.start_reason()).await;
    }

    async fn store_accepted(&self, name: &str, script: &Script, old: u64) -> u64 {
        let (store, script_name, files) = (self.services.store.clone(), name.to_owned(), script.files.clone());
        let kept = tokio::task::spawn_blocking(move || store.accept_version(&script_name, &files)).await;
        match kept.map_err(|error| error.to_string()).and_then(|kept| kept.map_err(|error| error.to_string())) {
            Ok(number) => number,
            Err(error) => {
                let text = format!("v{} runs, but could not be stored for the next start: {error}", old + 1);
                self.log.write(Level::Error, name, text);
                old + 1
            }
        }
    }

    /// Records the replacement of a script in the run history.
    fn record(&self, name: &str, version: u64, outcome: &str, reason: Option<String>, effects: Vec<String>) {
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
            why: reason,
            effects: effects
                .into_iter()
                .filter(|change| !change.is_empty())
                .map(|change| Effect::new("reload", change))
                .collect(),
        });
    }
}
