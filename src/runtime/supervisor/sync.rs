//! Brings what lives in step with what lies in the folder: a transaction per group of scripts that share a changed file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::life::StopReason;
use super::pending_script::{PendingScript, prepare};
use super::{Supervisor, disabled_key};
use crate::config::Level;
use crate::run::Skip;
use crate::runtime::load::{Loaded, Request, load, load_all};
use crate::runtime::registry::Entry;
use crate::runtime::sources::{FolderSources, Listing, Seen, Snapshot, list_scripts, script_name};
use crate::value::{Value, map_of};

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

/// How many batches of loaded scripts may wait; loading goes on meanwhile.
const BATCHES: usize = 4;

/// What came of loading one script.
enum Fresh {
    /// It lives: whether it is exchanged depends on its group.
    Next(Box<Loaded>),
    /// It does not live yet.
    PendingScript(Box<PendingScript>, Box<Loaded>, Option<String>),
}

impl Supervisor {
    /// Brings what lives in step with what lies in the folder.
    pub(crate) async fn sync(&mut self, why: Why) {
        let (desired, why) = match self.look().await {
            Ok(listing) => {
                let why = if self.is_folder_gone { self.folder_is_back(why) } else { why };
                self.say_problems(&listing, &why);
                (self.desired(listing.files), why)
            }
            Err(error) => {
                self.folder_is_gone(&error);
                if matches!(why, Why::Touched(_) | Why::Everything) {
                    // Nothing can be compared with: it is when the folder is back.
                    return;
                }
                (self.desired(self.registry.values().map(|entry| entry.file.clone()).collect()), why)
            }
        };
        self.remove_missing(&desired, &why).await;
        for request in desired.values().filter(|request| why.touches(&request.file)) {
            if !self.registry.contains_key(&request.name) {
                let mut entry = Entry::new(request.file.clone(), request.is_job);
                entry.is_disabled =
                    self.services.store.metadata(&disabled_key(&request.name)) == Some(Value::Bool(true));
                entry.is_quarantined = self.is_quarantined(&request.name, &request.file);
                self.registry.insert(request.name.clone(), entry);
            }
        }
        self.release_edited();
        let (batches, mut loaded) = mpsc::channel(BATCHES);
        let loading = self.load(&why, batches).await;
        let mut next = BTreeMap::new();
        while let Some(batch) = loaded.recv().await {
            self.take_in(batch, &mut next, &why).await;
        }
        if let Err(error) = loading.await {
            self.lines.say(Level::Error, "", format!("loading scripts broke off: {error}"));
        }
        self.exchange_groups(next, &why).await;
    }

    /// Brings those to life that do not live yet; those that do may change together with others that are still being loaded.
    async fn take_in(&mut self, batch: Vec<Fresh>, next: &mut BTreeMap<String, Loaded>, why: &Why) {
        let mut born = Vec::new();
        for fresh in batch {
            match fresh {
                Fresh::Next(loaded) => drop(next.insert(loaded.request.name.clone(), *loaded)),
                Fresh::PendingScript(newborn, loaded, problem) => {
                    let name = loaded.request.name.clone();
                    problem.into_iter().for_each(|text| self.lines.say(Level::Error, &name, text));
                    if self.bear(*newborn, *loaded, why).await {
                        born.push(name);
                    }
                }
            }
        }
        self.wake(&born);
        for name in born {
            self.tell_start(&name, why.start_reason()).await;
        }
    }

    /// Lists what lies in the scripts folder.
    async fn look(&self) -> std::io::Result<Listing> {
        let folder = self.settings.borrow().folder.clone();
        let listed = tokio::task::spawn_blocking(move || list_scripts(&folder)).await;
        listed.map_err(std::io::Error::other).flatten()
    }

    /// Returns what should live: these scripts and the jobs that are bound.
    fn desired(&self, files: Vec<String>) -> BTreeMap<String, Request> {
        let settings = self.settings.borrow();
        let jobs = settings.config.triggers.iter().map(|binding| request(binding.job.clone(), true));
        let all = files.into_iter().map(|file| request(file, false)).chain(jobs);
        map_of(all.filter(|(name, _)| self.is_chosen(name)))
    }

    fn say_problems(&self, listing: &Listing, why: &Why) {
        let is_new = |problem: &&String| match why {
            Why::Boot | Why::Everything => true,
            Why::Touched(touched) => is_about(problem, touched),
            Why::Config(_) | Why::Enabled(_) => false,
        };
        listing.problems.iter().filter(is_new).for_each(|problem| self.lines.say(Level::Warn, "", problem));
    }

    /// Says once that the scripts folder can not be read.
    fn folder_is_gone(&mut self, error: &std::io::Error) {
        if std::mem::replace(&mut self.is_folder_gone, true) {
            return;
        }
        let folder = self.settings.borrow().folder.display().to_string();
        let rest = match self.registry.values().filter(|entry| entry.life.is_some()).count() {
            0 => String::new(),
            1 => "; 1 script goes on as it is until the folder is back".to_owned(),
            count => format!("; {count} scripts go on as they are until the folder is back"),
        };
        self.lines.say(Level::Warn, "", format!("the scripts folder {folder} can not be read: {error}{rest}"));
    }

    /// Anything may have changed while the folder was away.
    fn folder_is_back(&mut self, why: Why) -> Why {
        self.is_folder_gone = false;
        let folder = self.settings.borrow().folder.display().to_string();
        self.lines.say(Level::Info, "", format!("the scripts folder {folder} is back"));
        match why {
            Why::Touched(_) => Why::Everything,
            other => other,
        }
    }

    async fn remove_missing(&mut self, desired: &BTreeMap<String, Request>, why: &Why) {
        let folder = self.settings.borrow().folder.clone();
        let is_deleted = |file: &str| folder.is_dir() && !folder.join(file).exists();
        let is_deleted_job =
            |entry: &Entry| entry.is_job && entry.life.is_some() && why.touches(&entry.file) && is_deleted(&entry.file);
        let is_wrong = |name: &String, entry: &Entry| match desired.get(name) {
            Some(request) => request.is_job != entry.is_job || is_deleted_job(entry),
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
            if desired.contains_key(&name) && !is_deleted(&entry.file) {
                continue;
            }
            let (store, script) = (self.services.store.clone(), name.clone());
            let forgotten = tokio::task::spawn_blocking(move || store.forget_version(&script)).await;
            if let Ok(Err(error)) = forgotten {
                self.lines.say(Level::Warn, &name, format!("its accepted versions are not forgotten: {error}"));
            }
            let version = number.map(|number| format!(" v{number}")).unwrap_or_default();
            self.lines.say(Level::Info, &name, format!("removed {name}{version}"));
        }
    }

    /// Loads what may have changed, beside what lives, in a task that hands it over in batches.
    async fn load(&mut self, why: &Why, batches: mpsc::Sender<Vec<Fresh>>) -> JoinHandle<()> {
        let settings = self.settings.borrow().clone();
        let sources = FolderSources::new(&settings.folder, settings.config.limits.script_size);
        let snapshot = Arc::new(Snapshot::new(sources));
        let mut requests = Vec::new();
        let mut living = BTreeSet::new();
        for (name, entry) in self.registry.iter().filter(|(_, entry)| !entry.is_disabled && !entry.is_quarantined) {
            let is_touched = why.touches(&entry.file) || entry.seen.iter().any(|(file, _)| why.touches(file));
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
        tokio::task::spawn_blocking(move || {
            let is_changed =
                |(_, seen, forced): &(Request, Seen, bool)| *forced || seen.is_empty() || differs(seen, &snapshot);
            let requests: Vec<Request> = requests.into_iter().filter(is_changed).map(|(request, ..)| request).collect();
            let load_one = |request: &Request| {
                let loaded = load(request, &snapshot, &settings);
                if living.contains(&request.name) {
                    return Fresh::Next(loaded.into());
                }
                let (newborn, loaded, problem) = prepare(loaded, &store, &settings);
                Fresh::PendingScript(newborn.into(), loaded.into(), problem)
            };
            // Who waits for them waits to the end.
            load_all(&requests, load_one, |batch| drop(batches.blocking_send(batch)));
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
    seen.iter().any(|(file, print)| snapshot.print(file) != print)
}
