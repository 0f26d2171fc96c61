//! The folders whose events one watch receives: its tree, the path that leads to it, and the targets of its symlinks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::services::files::system_watcher::{EventQueue, PROBE_PREFIX, PathMapping, SystemWatcher};
use crate::services::files::tree::Tree;

/// Maximum delay of the event of a probe file.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The registrations of one watch at the system watcher; removed when dropped.
pub(super) struct Registrations {
    system: Arc<SystemWatcher>,
    pub(super) events: Arc<EventQueue>,
    /// Canonical folders, and how their events map to watched paths.
    folders: BTreeSet<(PathBuf, PathMapping)>,
    /// Whether the system refused to watch a folder.
    pub(super) watch_failed: bool,
}

impl Registrations {
    /// Returns an empty set.
    pub(super) fn new(system: Arc<SystemWatcher>) -> Self {
        Self { system, events: Arc::default(), folders: BTreeSet::new(), watch_failed: false }
    }

    /// Registers a folder; returns whether that is new.
    pub(super) fn register(&mut self, real: PathBuf, mapping: PathMapping) -> bool {
        let is_new = self.folders.insert((real.clone(), mapping.clone()));
        if is_new {
            self.watch_failed |= !self.system.add(&real, &self.events, mapping);
        }
        is_new
    }

    /// Watches a canonical folder again: another folder may have its name now.
    pub(super) fn refresh(&mut self, real: &Path) {
        self.watch_failed |= !self.system.refresh(real);
    }

    /// Registers the folders of the tree and removes outdated registrations; returns the paths of newly registered single entries.
    pub(super) fn sync(&mut self, tree: &Tree) -> Vec<PathBuf> {
        let required = required(tree);
        let gone: Vec<_> = self.folders.difference(&required).cloned().collect();
        for gone in &gone {
            self.system.remove(&gone.0, &self.events, &gone.1);
            self.folders.remove(gone);
        }
        let mut entries = Vec::new();
        for (real, mapping) in required {
            if self.register(real.clone(), mapping.clone()) {
                entries.extend(if let PathMapping::Entry(_, path) = mapping { Some(path) } else { None });
            } else if !gone.is_empty() {
                // A renamed folder kept the system watch of its old name, which has just been removed.
                self.refresh(&real);
            }
        }
        entries
    }

    /// Creates a probe file, if permitted, and returns whether its event arrives; cached per device.
    pub(super) fn receives_events(&self, folder: &Path) -> bool {
        let Some(device) = device(folder) else { return true };
        let tested = || self.system.tested.lock();
        if let Some(arrived) = tested().get(&device) {
            return *arrived;
        }
        let probe = folder.join(format!("{PROBE_PREFIX}{}", std::process::id()));
        if fs::write(&probe, "").is_err() {
            return true;
        }
        let started = Instant::now();
        let mut arrived = self.events.has_probe_event();
        while !arrived && started.elapsed() < PROBE_TIMEOUT {
            std::thread::sleep(Duration::from_millis(2));
            arrived = self.events.has_probe_event();
        }
        if let Err(error) = fs::remove_file(&probe) {
            tracing::debug!(probe = %probe.display(), %error, "a probe file could not be removed");
        }
        tested().insert(device, arrived);
        arrived
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        for (real, mapping) in &self.folders {
            self.system.remove(real, &self.events, mapping);
        }
    }
}

fn required(tree: &Tree) -> BTreeSet<(PathBuf, PathMapping)> {
    let folders = tree.folders.iter().map(|(path, real)| (real.clone(), PathMapping::Folder(path.clone())));
    let targets = tree.symlinks().into_iter().filter_map(|link| {
        let target = fs::canonicalize(&link).ok()?;
        Some((target.parent()?.to_owned(), PathMapping::Entry(target.file_name()?.to_owned(), link)))
    });
    folders.chain(targets).chain(nearest_ancestor(tree.root())).collect()
}

/// Returns the nearest existing ancestor folder of a path, and the entry in it that leads to the path.
fn nearest_ancestor(path: &Path) -> Option<(PathBuf, PathMapping)> {
    path.ancestors().zip(path.ancestors().skip(1)).find_map(|(entry, folder)| {
        let real = fs::canonicalize(folder).ok()?;
        Some((real, PathMapping::Entry(entry.file_name()?.to_owned(), path.to_owned())))
    })
}

#[cfg(unix)]
fn device(folder: &Path) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::dev(&fs::metadata(folder).ok()?))
}

#[cfg(not(unix))]
fn device(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().map(|_| 0)
}
