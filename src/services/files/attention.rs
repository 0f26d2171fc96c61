//! What one watch hears of: its folders, the way that leads to them, and what symlinks stand for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::services::files::hub::{Hub, Listener, PROBE, Place};
use crate::services::files::tree::Tree;

/// An event of our own file comes within so long, or not at all.
const PROBE_WAIT: Duration = Duration::from_secs(3);

/// What one watch hears of; ends when dropped.
pub(super) struct Attention {
    hub: Arc<Hub>,
    pub(super) ear: Arc<Listener>,
    /// Real folders, and what they are heard of as.
    places: BTreeSet<(PathBuf, Place)>,
    /// Whether the system has refused to tell of something.
    pub(super) is_refused: bool,
}

impl Attention {
    /// Hears of nothing yet.
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, ear: Arc::default(), places: BTreeSet::new(), is_refused: false }
    }

    /// Hears of a folder from now on; returns whether that is new.
    pub(super) fn enter(&mut self, real: PathBuf, place: Place) -> bool {
        let is_new = self.places.insert((real.clone(), place.clone()));
        if is_new {
            self.is_refused |= !self.hub.add(&real, &self.ear, place);
        }
        is_new
    }

    /// Hears of a real folder again: it may be another one by the same name.
    pub(super) fn refresh(&mut self, real: &Path) {
        self.is_refused |= !self.hub.refresh(real);
    }

    /// Hears of what is there now, and no longer of what is gone; returns the paths of single entries that are newly heard of.
    pub(super) fn follow(&mut self, tree: &Tree) -> Vec<PathBuf> {
        let wanted = wanted(tree);
        let gone: Vec<_> = self.places.difference(&wanted).cloned().collect();
        for gone in &gone {
            self.hub.remove(&gone.0, &self.ear, &gone.1);
            self.places.remove(gone);
        }
        let mut entries = Vec::new();
        for (real, place) in wanted {
            if self.enter(real.clone(), place.clone()) {
                entries.extend(if let Place::Entry(_, path) = place { Some(path) } else { None });
            } else if !gone.is_empty() {
                // A renamed folder kept the system's watch of its old name, which has just ended.
                self.refresh(&real);
            }
        }
        entries
    }

    /// Makes a file where it may, to see whether that is heard of; once for each device.
    pub(super) fn hears_itself(&self, folder: &Path) -> bool {
        let Some(device) = device(folder) else { return true };
        let tested = || self.hub.tested.lock();
        if let Some(hears) = tested().get(&device) {
            return *hears;
        }
        let probe = folder.join(format!("{PROBE}{}", std::process::id()));
        if fs::write(&probe, "").is_err() {
            return true;
        }
        let started = Instant::now();
        let mut hears = self.ear.heard_probe();
        while !hears && started.elapsed() < PROBE_WAIT {
            std::thread::sleep(Duration::from_millis(2));
            hears = self.ear.heard_probe();
        }
        if let Err(error) = fs::remove_file(&probe) {
            tracing::debug!(probe = %probe.display(), %error, "a file made to see whether events come could not be removed");
        }
        tested().insert(device, hears);
        hears
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        for (real, place) in &self.places {
            self.hub.remove(real, &self.ear, place);
        }
    }
}

fn wanted(tree: &Tree) -> BTreeSet<(PathBuf, Place)> {
    let folders = tree.folders.iter().map(|(path, real)| (real.clone(), Place::Folder(path.clone())));
    let targets = tree.links().into_iter().filter_map(|link| {
        let target = fs::canonicalize(&link).ok()?;
        Some((target.parent()?.to_owned(), Place::Entry(target.file_name()?.to_owned(), link)))
    });
    folders.chain(targets).chain(doorstep(tree.root())).collect()
}

/// Returns the nearest folder above a path that is there, and the entry that leads to the path.
fn doorstep(path: &Path) -> Option<(PathBuf, Place)> {
    path.ancestors().zip(path.ancestors().skip(1)).find_map(|(entry, folder)| {
        let real = fs::canonicalize(folder).ok()?;
        Some((real, Place::Entry(entry.file_name()?.to_owned(), path.to_owned())))
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
