//! The one watcher of the operating system, shared by all watches: who wants to hear of which folder.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// So many touched paths are told apart; beyond, everything is looked at again.
const MAX_TOUCHED: usize = 10_000;
/// Files that are made to see whether events come start like this, and are no files to anyone.
pub(super) const PROBE: &str = ".rhaid-probe-";

/// The one watcher.
#[derive(Default)]
pub(super) struct Hub {
    /// Taken before `interests`, and never while holding that: its thread calls [`hear`].
    watcher: Mutex<Watcher>,
    interests: Arc<Mutex<Interests>>,
    /// Whether events come, by device.
    pub(super) tested: Mutex<HashMap<u64, bool>>,
}

#[derive(Default)]
enum Watcher {
    #[default]
    NotStarted,
    Runs(RecommendedWatcher),
    Refused,
}

/// Real folders, and who wants to hear of them.
type Interests = HashMap<PathBuf, Vec<(Arc<Listener>, Place)>>;

/// What someone knows a folder, or one entry of it, as: symlinks may lead there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// All entries of the folder, which goes by this path.
    Folder(PathBuf),
    /// The entry of this name, which stands for this path.
    Entry(OsString, PathBuf),
}

/// What a watch has heard since it last asked.
#[derive(Default)]
pub(super) struct Listener {
    heard: Mutex<Heard>,
    pub(super) stirred: Notify,
}

/// Paths that events named.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) touched: BTreeMap<PathBuf, Touch>,
    /// Whether there was more than is listed.
    pub(super) lost: bool,
    /// Whether a probe was heard.
    pub(super) probe: bool,
}

/// The last that was heard of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch {
    pub(super) at: Instant,
    /// Whether it was written, and its writer has not closed it since.
    pub(super) is_open: bool,
}

impl Hub {
    /// A hub that the system refuses to tell anything.
    #[cfg(test)]
    pub(super) fn deaf() -> Self {
        Self { watcher: Mutex::new(Watcher::Refused), ..Self::default() }
    }

    /// Lets an ear hear of a real folder; returns whether the system agrees.
    pub(super) fn add(&self, folder: &Path, ear: &Arc<Listener>, place: Place) -> bool {
        let mut watcher = self.watcher();
        let interest = (Arc::clone(ear), place);
        self.interests().entry(folder.to_owned()).or_default().push(interest);
        self.watch(&mut watcher, folder)
    }

    /// Watches a real folder once more, for when it was taken away and another is in its place.
    pub(super) fn refresh(&self, folder: &Path) -> bool {
        let mut watcher = self.watcher();
        self.watch(&mut watcher, folder)
    }

    /// Ends what [`Hub::add`] began.
    pub(super) fn remove(&self, folder: &Path, ear: &Arc<Listener>, place: &Place) {
        let mut watcher = self.watcher();
        let mut interests = self.interests();
        let Some(known) = interests.get_mut(folder) else { return };
        known.retain(|(other, what)| !(Arc::ptr_eq(other, ear) && what == place));
        if known.is_empty() {
            interests.remove(folder);
            drop(interests);
            if let Watcher::Runs(watcher) = &mut *watcher {
                // It is not there to be unwatched if the folder is gone.
                let _ = watcher.unwatch(folder);
            }
        }
    }

    fn watch(&self, watcher: &mut Watcher, folder: &Path) -> bool {
        if matches!(watcher, Watcher::NotStarted) {
            let interests = Arc::clone(&self.interests);
            *watcher = match notify::recommended_watcher(move |event| hear(&interests, event)) {
                Ok(runs) => Watcher::Runs(runs),
                Err(error) => {
                    tracing::warn!(why = %error, "the system does not tell of changed files: looking for them every second");
                    Watcher::Refused
                }
            };
        }
        let Watcher::Runs(runs) = watcher else { return false };
        match runs.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => true,
            // Gone again: the folder above tells of that.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => true,
            Err(error) => {
                tracing::debug!(folder = %folder.display(), why = %error, "a folder can not be watched");
                false
            }
        }
    }

    fn watcher(&self) -> MutexGuard<'_, Watcher> {
        self.watcher.lock()
    }

    fn interests(&self) -> MutexGuard<'_, Interests> {
        self.interests.lock()
    }
}

impl Listener {
    /// Takes what was heard.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut self.lock())
    }

    /// Returns whether a probe was heard.
    pub(super) fn heard_probe(&self) -> bool {
        self.lock().probe
    }

    /// Notes a path.
    fn touch(&self, path: PathBuf, kind: EventKind) {
        let mut heard = self.lock();
        if heard.touched.len() >= MAX_TOUCHED {
            heard.touched.clear();
            heard.lost = true;
        }
        let touch = heard.touched.entry(path).or_insert(Touch { at: Instant::now(), is_open: false });
        touch.at = Instant::now();
        match kind {
            // Only Linux says when a writer is done.
            EventKind::Modify(ModifyKind::Data(_)) => touch.is_open = cfg!(target_os = "linux"),
            EventKind::Modify(ModifyKind::Metadata(_)) => {}
            _ => touch.is_open = false,
        }
        drop(heard);
        self.stirred.notify_one();
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.lock());
        self.stirred.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock()
    }
}

/// Takes an event in, on the watcher's own thread.
fn hear(interests: &Mutex<Interests>, event: notify::Result<Event>) {
    let interests = interests.lock();
    let Some(event) = event.ok().filter(|event| !event.need_rescan()) else {
        return interests.values().flatten().for_each(|(ear, _)| ear.note(|heard| heard.lost = true));
    };
    // Reading a file is an event, too: also our own reading.
    if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write)) {
        return;
    }
    for path in &event.paths {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        for (ear, place) in interests.get(folder).into_iter().flatten() {
            match place {
                _ if name.to_string_lossy().starts_with(PROBE) => ear.note(|heard| heard.probe = true),
                Place::Folder(known) => ear.touch(known.join(name), event.kind),
                Place::Entry(entry, known) if entry == name => ear.touch(known.clone(), event.kind),
                Place::Entry(..) => {}
            }
        }
        for (ear, place) in interests.get(path).into_iter().flatten() {
            let (Place::Folder(known) | Place::Entry(_, known)) = place;
            ear.touch(known.clone(), event.kind);
        }
    }
}
