//! Brings what lives in step with what lies in the folder: a transaction per group of scripts that share a changed file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::life::StopReason;
use super::{House, disabled_key};
use crate::config::Level;
use crate::event::Id;
use crate::fault::Fault;
use crate::run::Skip;
use crate::runtime::load::{Loaded, Request, load_all};
use crate::runtime::registry::{Entry, Version};
use crate::runtime::reload::{accepted_line, groups, rejected_report};
use crate::runtime::settings::Settings;
use crate::runtime::sources::{AcceptedSources, FolderSources, Seen, Snapshot, list_scripts, script_name};
use crate::script::{Purpose, Script};
use crate::services::store::{Row, Store};
use crate::value::Value;

/// Why what lives may be out of step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing lives yet.
    Boot,
    /// Files or folders with these names changed, below the scripts folder.
    Touched(BTreeSet<String>),
    /// Anything may have changed.
    Everything,
    /// The config did: these scripts are loaded again in any case.
    Config(BTreeSet<String>),
    /// A script was enabled.
    Enabled(String),
}

impl Why {
    /// The word for `start.reason`.
    fn start_reason(&self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Enabled(_) => "enabled",
            _ => "reload",
        }
    }

    fn touches(&self, file: &str) -> bool {
        match self {
            Self::Touched(touched) => {
                let is_above =
                    |folder: &String| file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
                touched.contains(file) || touched.iter().any(is_above)
            }
            Self::Config(names) => names.contains(script_name(file)),
            Self::Enabled(name) => name == script_name(file),
            Self::Boot | Self::Everything => true,
        }
    }

    fn forces(&self, name: &str) -> bool {
        matches!(self, Self::Config(names) if names.contains(name))
    }
}

/// A script that does not live yet, made ready beside those that do.
enum Newborn {
    /// Its file is good.
    Ready(Script, u64),
    /// Its file is not, but an accepted version is.
    Fallback(Script, u64, Vec<Fault>),
    /// It can not live.
    Broken(Vec<Fault>),
}

/// What came of loading one script.
enum Fresh {
    /// It lives: whether it is exchanged depends on its group.
    Next(Loaded),
    /// It does not live yet.
    Newborn(Newborn, Loaded, Option<String>),
}

impl House {
    /// Brings what lives in step with what lies in the folder.
    pub(crate) async fn sync(&mut self, why: Why) {
        let desired = self.desired(&why).await;
        self.remove_missing(&desired, &why).await;
        for request in desired.values().filter(|request| why.touches(&request.file)) {
            if !self.registry.contains_key(&request.name) {
                let mut entry = Entry::new(request.file.clone(), request.is_job);
                entry.is_disabled = self.services.store.noted(&disabled_key(&request.name)) == Some(Value::Bool(true));
                self.registry.insert(request.name.clone(), entry);
            }
        }
        let fresh = self.load(&why).await;
        let mut next = BTreeMap::new();
        let mut born = Vec::new();
        for fresh in fresh {
            match fresh {
                Fresh::Next(loaded) => drop(next.insert(loaded.request.name.clone(), loaded)),
                Fresh::Newborn(newborn, loaded, problem) => {
                    let name = loaded.request.name.clone();
                    problem.into_iter().for_each(|text| self.lines.say(Level::Error, &name, text));
                    if self.bear(newborn, loaded, &why).await {
                        born.push(name);
                    }
                }
            }
        }
        for name in born {
            self.tell_start(&name, why.start_reason()).await;
        }
        self.exchange_groups(next, &why).await;
    }

    /// Returns what should live: the scripts in the folder and the jobs that are bound.
    async fn desired(&self, why: &Why) -> BTreeMap<String, Request> {
        let settings = self.settings.borrow().clone();
        let folder = settings.folder.clone();
        let listed = tokio::task::spawn_blocking(move || list_scripts(&folder)).await;
        let jobs: BTreeSet<_> = settings.config.triggers.iter().map(|binding| binding.job.clone()).collect();
        let mut desired: BTreeMap<String, Request> = match listed.map_err(std::io::Error::other).flatten() {
            Ok(listing) => {
                if matches!(why, Why::Boot | Why::Everything) {
                    listing.problems.iter().for_each(|problem| self.lines.say(Level::Warn, "", problem));
                } else if let Why::Touched(touched) = why {
                    let meant = listing
                        .problems
                        .iter()
                        .filter(|problem| touched.iter().any(|file| problem.contains(&format!("`{file}`"))));
                    meant.for_each(|problem| self.lines.say(Level::Warn, "", problem));
                }
                listing.files.into_iter().map(|file| request(file, false)).collect()
            }
            Err(error) => {
                let (folder, count) = (settings.folder.display(), self.registry.len());
                let rest = if count > 0 { format!("; {count} scripts go on as they are") } else { String::new() };
                self.lines.say(Level::Warn, "", format!("the scripts folder {folder} can not be read: {error}{rest}"));
                self.registry.values().map(|entry| request(entry.file.clone(), false)).collect()
            }
        };
        desired.extend(jobs.into_iter().map(|file| request(file, true)));
        desired
    }

    async fn remove_missing(&mut self, desired: &BTreeMap<String, Request>, why: &Why) {
        let is_wrong = |name: &String, entry: &Entry| match desired.get(name) {
            Some(request) => request.is_job != entry.is_job,
            None => why.touches(&entry.file) || entry.is_job,
        };
        let gone: Vec<String> =
            self.registry.iter().filter(|(name, entry)| is_wrong(name, entry)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            let Some(entry) = self.registry.remove(&name) else { continue };
            let number = entry.life.as_ref().map(|life| life.version.number);
            if let Some(life) = entry.life {
                self.retire(&name, life, Skip::TriggerGone, StopReason::Removed).await;
            }
            if desired.contains_key(&name) {
                continue;
            }
            let (store, script) = (self.services.store.clone(), name.clone());
            let forgotten = tokio::task::spawn_blocking(move || store.forget(&script)).await;
            if let Ok(Err(error)) = forgotten {
                self.lines.say(Level::Warn, &name, format!("its accepted versions are not forgotten: {error}"));
            }
            let version = number.map(|number| format!(" v{number}")).unwrap_or_default();
            self.lines.say(Level::Info, &name, format!("removed {name}{version}"));
        }
    }

    /// Loads what may have changed, beside what lives.
    async fn load(&mut self, why: &Why) -> Vec<Fresh> {
        let settings = self.settings.borrow().clone();
        let sources = FolderSources::new(&settings.folder, settings.config.limits.script_size);
        let snapshot = Arc::new(Snapshot::new(sources));
        let mut requests = Vec::new();
        let mut living = BTreeSet::new();
        for (name, entry) in self.registry.iter().filter(|(_, entry)| !entry.is_disabled) {
            let is_touched = why.touches(&entry.file) || entry.seen.keys().any(|file| why.touches(file));
            if !is_touched {
                continue;
            }
            if entry.life.is_some() {
                living.insert(name.clone());
            }
            requests.push((
                Request { name: name.clone(), file: entry.file.clone(), is_job: entry.is_job },
                entry.seen.clone(),
                why.forces(name),
            ));
        }
        for (request, ..) in requests.iter().filter(|(request, ..)| !living.contains(&request.name)) {
            let name = request.name.clone();
            self.until_retired(&name).await;
        }
        let store = self.services.store.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let is_changed =
                |(_, seen, forced): &(Request, Seen, bool)| *forced || seen.is_empty() || differs(seen, &snapshot);
            let requests: Vec<Request> = requests.into_iter().filter(is_changed).map(|(request, ..)| request).collect();
            load_all(&requests, &snapshot, &settings, |loaded| {
                if living.contains(&loaded.request.name) {
                    Fresh::Next(loaded)
                } else {
                    prepare(loaded, &store, &settings)
                }
            })
        });
        loaded.await.unwrap_or_else(|error| {
            self.lines.say(Level::Error, "", format!("loading scripts broke off: {error}"));
            Vec::new()
        })
    }

    /// Brings a script to life that does not live yet; returns whether it does now.
    async fn bear(&mut self, newborn: Newborn, loaded: Loaded, why: &Why) -> bool {
        let name = loaded.request.name;
        let Some(entry) = self.registry.get_mut(&name) else { return false };
        entry.seen = loaded.seen;
        entry.rejected = None;
        let (script, number) = match newborn {
            Newborn::Ready(script, number) => (script, number),
            Newborn::Fallback(script, number, faults) => {
                let text = rejected_report(Some(number), number + 1, &faults);
                self.lines.say(Level::Error, &name, text);
                self.lines.say(
                    Level::Warn,
                    &name,
                    format!("{name} starts from v{number}, the last version that was accepted"),
                );
                entry.rejected = Some(faults);
                (script, number)
            }
            Newborn::Broken(faults) => {
                self.lines.say(Level::Error, &name, rejected_report(None, 0, &faults));
                entry.rejected = Some(faults);
                return false;
            }
        };
        let version = Arc::new(Version { number, script, is_job: loaded.request.is_job });
        let changes = self.exchange(&name, version).await;
        let level = if *why == Why::Boot { Level::Debug } else { Level::Info };
        self.lines.say(level, &name, accepted_line("loaded", &name, number, loaded.took, &changes));
        true
    }

    async fn exchange_groups(&mut self, mut next: BTreeMap<String, Loaded>, why: &Why) {
        let changed =
            next.iter().map(|(name, loaded)| (name.clone(), self.changed_files(name, &loaded.seen))).collect();
        for group in groups(&changed) {
            let members: Vec<Loaded> = group.iter().filter_map(|name| next.remove(name)).collect();
            let blocker = members.iter().find(|loaded| loaded.result.is_err() && !self.was_broken_alone(loaded));
            let blocker = blocker.map(|loaded| loaded.request.file.clone());
            for loaded in members {
                match (loaded.result, &blocker) {
                    (Err(faults), _) => self.reject(&loaded.request.name, loaded.seen, faults),
                    (Ok(_), Some(blocker)) => {
                        let text = format!("`{blocker}`, which changes together with it, was rejected");
                        let place = crate::fault::Place { file: loaded.request.file, ..Default::default() };
                        self.reject(&loaded.request.name, loaded.seen, vec![Fault::new(place, text)]);
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
        let is_new = |file: &String, print: &Option<u64>| old.and_then(|old| old.get(file)) != Some(print);
        seen.iter().filter(|(file, print)| is_new(file, print)).map(|(file, _)| file.clone()).collect()
    }

    /// Returns whether a script that fails now was rejected before for what its own file says: it does not hold up the others.
    fn was_broken_alone(&self, loaded: &Loaded) -> bool {
        self.registry.get(&loaded.request.name).is_some_and(|entry| {
            let own = &entry.file;
            let text = entry.life.as_ref().and_then(|life| life.version.script.files.first()).map(|(_, text)| text);
            let is_edited = text
                .is_some_and(|text| loaded.seen.get(own) != Some(&Some(crate::runtime::sources::fingerprint(text))));
            entry.rejected.is_some() && is_edited && entry.seen.get(own) == loaded.seen.get(own)
        })
    }

    fn reject(&mut self, name: &str, seen: Seen, faults: Vec<Fault>) {
        let Some(entry) = self.registry.get_mut(name) else { return };
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
        let changes = self.exchange(name, Arc::new(Version { number, script, is_job })).await;
        if is_same && changes.is_empty() {
            return;
        }
        self.lines.say(Level::Info, name, accepted_line("reloaded", name, number, took, &changes));
        self.note(name, number, "succeeded", None, vec![changes]);
        self.tell_start(name, why.start_reason()).await;
    }

    async fn keep_accepted(&self, name: &str, script: &Script, old: u64) -> u64 {
        let (store, script_name, files) = (self.services.store.clone(), name.to_owned(), script.files.clone());
        let kept = tokio::task::spawn_blocking(move || store.accept(&script_name, &files)).await;
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
        self.services.store.record(Row {
            id: Id::new(now).to_string(),
            script: name.to_owned(),
            version,
            trigger: "reload".to_owned(),
            event: "the file was saved".to_owned(),
            facts: Value::Null,
            queued: now,
            started: Some(now),
            ended: now,
            outcome: outcome.to_owned(),
            why,
            effects: effects.into_iter().filter(|effect| !effect.is_empty()).collect(),
        });
    }
}

fn request(file: String, is_job: bool) -> (String, Request) {
    let name = script_name(&file).to_owned();
    (name.clone(), Request { name, file, is_job })
}

fn differs(seen: &Seen, snapshot: &Snapshot) -> bool {
    seen.iter().any(|(file, print)| snapshot.print(file) != *print)
}

/// Makes a script ready that does not live yet: from its file, or from what was accepted before.
fn prepare(mut loaded: Loaded, store: &Store, settings: &Settings) -> Fresh {
    let name = loaded.request.name.clone();
    let (accepted, mut problem) = match store.accepted(&name) {
        Ok(accepted) => (accepted, None),
        Err(error) => (None, Some(format!("its accepted versions can not be read: {error}"))),
    };
    let newborn = match std::mem::replace(&mut loaded.result, Err(Vec::new())) {
        Ok(script) => {
            let number = match accepted {
                Some(accepted) if accepted.files == script.files => accepted.version,
                older => store.accept(&name, &script.files).unwrap_or_else(|error| {
                    problem = Some(format!("it runs but is not kept for the next start: {error}"));
                    older.map_or(1, |older| older.version + 1)
                }),
            };
            Newborn::Ready(script, number)
        }
        Err(faults) => match accepted.and_then(|accepted| revive(&loaded.request, accepted, settings)) {
            Some((script, number)) => Newborn::Fallback(script, number, faults),
            None => Newborn::Broken(faults),
        },
    };
    Fresh::Newborn(newborn, loaded, problem)
}

fn revive(request: &Request, accepted: crate::services::store::Accepted, settings: &Settings) -> Option<(Script, u64)> {
    let purpose = if request.is_job { Purpose::Job } else { Purpose::Handlers };
    let sources = Arc::new(AcceptedSources(accepted.files));
    let mut script = Script::load(&request.file, &purpose, sources, &settings.config, &settings.surroundings).ok()?;
    if request.is_job {
        let bindings = settings.config.triggers.iter().filter(|binding| binding.job == request.file);
        script.declared = crate::runtime::load::bind(&bindings.collect::<Vec<_>>(), settings).ok()?;
    }
    Some((script, accepted.version))
}
