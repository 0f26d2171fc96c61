//! Brings what lives in step with what lies in the folder: a transaction per group of scripts that share a changed file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::life::StopReason;
use super::newborn::{Newborn, prepare};
use super::{House, disabled_key};
use crate::config::Level;
use crate::run::Skip;
use crate::runtime::load::{Loaded, Request, load_all};
use crate::runtime::registry::Entry;
use crate::runtime::sources::{FolderSources, Seen, Snapshot, list_scripts, script_name};
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
    pub(super) fn start_reason(&self) -> &'static str {
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

    pub(super) fn forces(&self, name: &str) -> bool {
        matches!(self, Self::Config(names) if names.contains(name))
    }
}

/// What came of loading one script.
enum Fresh {
    /// It lives: whether it is exchanged depends on its group.
    Next(Box<Loaded>),
    /// It does not live yet.
    Newborn(Box<Newborn>, Box<Loaded>, Option<String>),
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
                Fresh::Next(loaded) => drop(next.insert(loaded.request.name.clone(), *loaded)),
                Fresh::Newborn(newborn, loaded, problem) => {
                    let name = loaded.request.name.clone();
                    problem.into_iter().for_each(|text| self.lines.say(Level::Error, &name, text));
                    if self.bear(*newborn, *loaded, &why).await {
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
                    let problems = listing.problems.iter().filter(|problem| is_about(problem, touched));
                    problems.for_each(|problem| self.lines.say(Level::Warn, "", problem));
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
                    Fresh::Next(loaded.into())
                } else {
                    let (newborn, loaded, problem) = prepare(loaded, &store, &settings);
                    Fresh::Newborn(newborn.into(), loaded.into(), problem)
                }
            })
        });
        loaded.await.unwrap_or_else(|error| {
            self.lines.say(Level::Error, "", format!("loading scripts broke off: {error}"));
            Vec::new()
        })
    }
}

/// Returns whether a problem's path, which stands in backticks, is among those that were touched or above one of them.
fn is_about(problem: &str, touched: &BTreeSet<String>) -> bool {
    let path = problem.split('`').nth(1).unwrap_or_default();
    touched.iter().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn request(file: String, is_job: bool) -> (String, Request) {
    let name = script_name(&file).to_owned();
    (name.clone(), Request { name, file, is_job })
}

fn differs(seen: &Seen, snapshot: &Snapshot) -> bool {
    seen.iter().any(|(file, print)| snapshot.print(file) != *print)
}
