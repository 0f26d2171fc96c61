//! Synchronizes the active scripts with the scripts folder: one transaction per group of scripts that share a changed file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::model::{StopReason, Supervisor, SyncReason, disabled_key};
use super::pending_script::{PendingScript, prepare};
use crate::config::Level;
use crate::run::Skip;
use crate::runtime::listing::{FolderListing, list_scripts, script_name};
use crate::runtime::load::{Loaded, Request, load, load_all};
use crate::runtime::registry::ScriptEntry;
use crate::runtime::sources::{FileFingerprints, FolderSources, Snapshot};
use crate::value::{Value, map_of};

/// Capacity of the channel of loaded batches; loading continues while they are activated.
const MAX_BATCHES: usize = 4;

/// Result of loading one script.
enum LoadResult {
    /// The script is active; its replacement depends on its group.
    Next(Box<Loaded>),
    /// The script is not active yet.
    PendingScript(Box<PendingScript>, Box<Loaded>, Option<String>),
}

impl Supervisor {
    /// Synchronizes the active scripts with the scripts folder.
    pub(crate) async fn sync(&mut self, reason: SyncReason) {
        let (desired, reason) = match self.list_folder().await {
            Ok(listing) => {
                let reason = if self.is_folder_missing { self.report_folder_back(reason) } else { reason };
                self.report_problems(&listing, &reason);
                (self.desired(listing.files), reason)
            }
            Err(error) => {
                self.report_folder_missing(&error);
                if matches!(reason, SyncReason::FilesChanged(_) | SyncReason::Everything) {
                    // Without a listing there is nothing to compare; that happens when the folder is back.
                    return;
                }
                (self.desired(self.registry.values().map(|entry| entry.file.clone()).collect()), reason)
            }
        };
        self.remove_missing(&desired, &reason).await;
        for request in desired.values().filter(|request| reason.touches(&request.file)) {
            if !self.registry.contains_key(&request.name) {
                let mut entry = ScriptEntry::new(request.file.clone(), request.is_job);
                entry.is_disabled =
                    self.services.store.metadata(&disabled_key(&request.name)) == Some(Value::Bool(true));
                entry.is_quarantined = self.is_quarantined(&request.name, &request.file);
                self.registry.insert(request.name.clone(), entry);
            }
        }
        self.end_quarantine_of_edited();
        let (batches, mut loaded) = mpsc::channel(MAX_BATCHES);
        let loading = self.load(&reason, batches).await;
        let mut next = BTreeMap::new();
        while let Some(batch) = loaded.recv().await {
            self.apply_batch(batch, &mut next, &reason).await;
        }
        if let Err(error) = loading.await {
            self.log.write(Level::Error, "", format!("loading scripts was aborted: {error}"));
        }
        self.exchange_groups(next, &reason).await;
    }

    /// Activates new scripts, and collects loaded versions of active ones, whose group may still be loading.
    async fn apply_batch(&mut self, batch: Vec<LoadResult>, next: &mut BTreeMap<String, Loaded>, reason: &SyncReason) {
        let mut activated = Vec::new();
        for result in batch {
            match result {
                LoadResult::Next(loaded) => drop(next.insert(loaded.request.name.clone(), *loaded)),
                LoadResult::PendingScript(pending, loaded, problem) => {
                    let name = loaded.request.name.clone();
                    problem.into_iter().for_each(|text| self.log.write(Level::Error, &name, text));
                    if self.activate(*pending, *loaded, reason).await {
                        activated.push(name);
                    }
                }
            }
        }
        self.start_remaining_watches(&activated);
        for name in activated {
            self.send_start_events(&name, reason.start_reason()).await;
        }
    }

    /// Lists the scripts folder.
    async fn list_folder(&self) -> std::io::Result<FolderListing> {
        let folder = self.settings.borrow().folder.clone();
        let listed = tokio::task::spawn_blocking(move || list_scripts(&folder)).await;
        listed.map_err(std::io::Error::other).flatten()
    }

    /// Returns the scripts that should be active: these files and the bound jobs.
    fn desired(&self, files: Vec<String>) -> BTreeMap<String, Request> {
        let settings = self.settings.borrow();
        let jobs = settings.config.triggers.iter().map(|binding| request(binding.job.clone(), true));
        let all = files.into_iter().map(|file| request(file, false)).chain(jobs);
        map_of(all.filter(|(name, _)| self.is_selected(name)))
    }

    fn report_problems(&self, listing: &FolderListing, reason: &SyncReason) {
        let is_new = |problem: &&String| match reason {
            SyncReason::Boot | SyncReason::Everything => true,
            SyncReason::FilesChanged(changed) => is_about(problem, changed),
            SyncReason::Config(_) | SyncReason::Enabled(_) => false,
        };
        listing.problems.iter().filter(is_new).for_each(|problem| self.log.write(Level::Warn, "", problem));
    }

    /// Logs once that the scripts folder cannot be read.
    fn report_folder_missing(&mut self, error: &std::io::Error) {
        if std::mem::replace(&mut self.is_folder_missing, true) {
            return;
        }
        let folder = self.settings.borrow().folder.display().to_string();
        let rest = match self.registry.values().filter(|entry| entry.active.is_some()).count() {
            0 => String::new(),
            1 => "; 1 script keeps running until the folder is back".to_owned(),
            count => format!("; {count} scripts keep running until the folder is back"),
        };
        self.log.write(Level::Warn, "", format!("the scripts folder {folder} cannot be read: {error}{rest}"));
    }

    /// Any file may have changed while the folder was missing.
    fn report_folder_back(&mut self, reason: SyncReason) -> SyncReason {
        self.is_folder_missing = false;
        let folder = self.settings.borrow().folder.display().to_string();
        self.log.write(Level::Info, "", format!("the scripts folder {folder} is back"));
        match reason {
            SyncReason::FilesChanged(_) => SyncReason::Everything,
            other => other,
        }
    }

    async fn remove_missing(&mut self, desired: &BTreeMap<String, Request>, reason: &SyncReason) {
        let folder = self.settings.borrow().folder.clone();
        let is_deleted = |file: &str| folder.is_dir() && !folder.join(file).exists();
        let is_deleted_job = |entry: &ScriptEntry| {
            entry.is_job && entry.active.is_some() && reason.touches(&entry.file) && is_deleted(&entry.file)
        };
        let is_wrong = |name: &String, entry: &ScriptEntry| match desired.get(name) {
            Some(request) => request.is_job != entry.is_job || is_deleted_job(entry),
            None => reason.touches(&entry.file) || entry.is_job,
        };
        let gone: Vec<String> =
            self.registry.iter().filter(|(name, entry)| is_wrong(name, entry)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            let Some(entry) = self.registry.remove(&name) else { continue };
            let number = entry.active.as_ref().map(|active| active.version.number);
            if let Some(active) = entry.active {
                self.retire(&name, active, Skip::TriggerGone, StopReason::Removed).await;
            }
            if desired.contains_key(&name) && !is_deleted(&entry.file) {
                continue;
            }
            let (store, script) = (self.services.store.clone(), name.clone());
            let forgotten = tokio::task::spawn_blocking(move || store.forget_version(&script)).await;
            if let Ok(Err(error)) = forgotten {
                self.log.write(Level::Warn, &name, format!("its accepted versions could not be deleted: {error}"));
            }
            let version = number.map(|number| format!(" v{number}")).unwrap_or_default();
            self.log.write(Level::Info, &name, format!("removed {name}{version}"));
        }
    }

    /// Loads the scripts that may have changed, in a task that sends them in batches.
    async fn load(&mut self, reason: &SyncReason, batches: mpsc::Sender<Vec<LoadResult>>) -> JoinHandle<()> {
        let settings = self.settings.borrow().clone();
        let sources = FolderSources::new(&settings.folder, settings.config.limits.script_size);
        let snapshot = Arc::new(Snapshot::new(sources));
        let mut requests = Vec::new();
        let mut living = BTreeSet::new();
        for (name, entry) in self.registry.iter().filter(|(_, entry)| !entry.is_disabled && !entry.is_quarantined) {
            let is_touched =
                reason.touches(&entry.file) || entry.fingerprints.iter().any(|(file, _)| reason.touches(file));
            if !is_touched {
                continue;
            }
            if entry.active.is_some() {
                living.insert(name.clone());
            }
            requests.push((
                Request { name: name.clone(), file: entry.file.clone(), is_job: entry.is_job },
                entry.fingerprints.clone(),
                reason.forces(name),
            ));
        }
        for (request, ..) in requests.iter().filter(|(request, ..)| !living.contains(&request.name)) {
            let name = request.name.clone();
            self.wait_until_retired(&name).await;
        }
        let store = self.services.store.clone();
        tokio::task::spawn_blocking(move || {
            let is_changed = |(_, fingerprints, forced): &(Request, FileFingerprints, bool)| {
                *forced || fingerprints.is_empty() || differs(fingerprints, &snapshot)
            };
            let requests: Vec<Request> = requests.into_iter().filter(is_changed).map(|(request, ..)| request).collect();
            let load_one = |request: &Request| {
                let loaded = load(request, &snapshot, &settings);
                if living.contains(&request.name) {
                    return LoadResult::Next(loaded.into());
                }
                let (pending, loaded, problem) = prepare(loaded, &store, &settings);
                LoadResult::PendingScript(pending.into(), loaded.into(), problem)
            };
            // The receiver stays until the channel is closed.
            load_all(&requests, load_one, |batch| drop(batches.blocking_send(batch)));
        })
    }
}

/// Returns whether the path of a problem, which is quoted in backticks, is a changed file or folder, or above one.
fn is_about(problem: &str, changed: &BTreeSet<String>) -> bool {
    let path = problem.split('`').nth(1).unwrap_or_default();
    changed.iter().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn request(file: String, is_job: bool) -> (String, Request) {
    let name = script_name(&file).to_owned();
    (name.clone(), Request { name, file, is_job })
}

fn differs(fingerprints: &FileFingerprints, snapshot: &Snapshot) -> bool {
    fingerprints.iter().any(|(file, fingerprint)| snapshot.fingerprint(file) != fingerprint)
}
