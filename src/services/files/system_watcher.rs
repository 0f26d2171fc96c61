//! The watcher of the operating system, shared by all watches.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// Maximum number of paths per watch; above it, everything is scanned again.
const MAX_PATHS: usize = 10_000;
/// File name prefix of probe files, which no watch reports.
pub(super) const PROBE_PREFIX: &str = ".rhaid-probe-";

/// The shared watcher.
#[derive(Default)]
pub(super) struct SystemWatcher {
    /// Locked before `subscribers`, never after it: the watcher's thread calls [`dispatch`].
    watcher: Mutex<Watcher>,
    subscribers: Arc<Mutex<Subscribers>>,
    /// Whether events arrive, by device.
    pub(super) tested: Mutex<HashMap<u64, bool>>,
}

#[derive(Default)]
enum Watcher {
    #[default]
    NotStarted,
    Running(RecommendedWatcher),
    Refused,
}

/// Canonical folders, with the watches that receive their events.
type Subscribers = HashMap<PathBuf, Vec<(Arc<EventQueue>, PathMapping)>>;

/// How events of a canonical folder map to watched paths, which may lead through symlinks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathMapping {
    /// All entries of the folder, below this path.
    Folder(PathBuf),
    /// The entry with this name, as this path.
    Entry(OsString, PathBuf),
}

/// Events that a watch has not processed yet.
#[derive(Default)]
pub(super) struct EventQueue {
    pending: Mutex<PendingEvents>,
    pub(super) changed: Notify,
}

/// Paths with events.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    pub(super) paths: BTreeMap<PathBuf, LastEvent>,
    /// Whether events are missing from `paths`.
    pub(super) overflowed: bool,
    /// Whether the event of a probe file arrived.
    pub(super) probe: bool,
}

/// The last event of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastEvent {
    pub(super) at: Instant,
    /// Whether the file was written and is not closed since.
    pub(super) is_open: bool,
}

impl SystemWatcher {
    /// Returns a watcher that receives no events.
    #[cfg(test)]
    pub(super) fn without_events() -> Self {
        Self { watcher: Mutex::new(Watcher::Refused), ..Self::default() }
    }

    /// Registers a watch for a canonical folder; returns whether the system watches it.
    pub(super) fn add(&self, folder: &Path, listener: &Arc<EventQueue>, mapping: PathMapping) -> bool {
        let mut watcher = self.watcher();
        let subscriber = (Arc::clone(listener), mapping);
        self.subscribers().entry(folder.to_owned()).or_default().push(subscriber);
        self.watch(&mut watcher, folder)
    }

    /// Watches a canonical folder again, after it was replaced by another one.
    pub(super) fn refresh(&self, folder: &Path) -> bool {
        let mut watcher = self.watcher();
        self.watch(&mut watcher, folder)
    }

    /// Reverts [`SystemWatcher::add`].
    pub(super) fn remove(&self, folder: &Path, listener: &Arc<EventQueue>, mapping: &PathMapping) {
        let mut watcher = self.watcher();
        let mut subscribers = self.subscribers();
        let Some(known) = subscribers.get_mut(folder) else { return };
        known.retain(|(other, what)| !(Arc::ptr_eq(other, listener) && what == mapping));
        if known.is_empty() {
            subscribers.remove(folder);
            drop(subscribers);
            if let Watcher::Running(watcher) = &mut *watcher {
                // Fails if the folder is gone.
                let _ = watcher.unwatch(folder);
            }
        }
    }

    fn watch(&self, watcher: &mut Watcher, folder: &Path) -> bool {
        if matches!(watcher, Watcher::NotStarted) {
            let subscribers = Arc::clone(&self.subscribers);
            *watcher = match notify::recommended_watcher(move |event| dispatch(&subscribers, event)) {
                Ok(runs) => Watcher::Running(runs),
                Err(error) => {
                    tracing::warn!(why = %error, "the system does not report changed files: scanning for them every second");
                    Watcher::Refused
                }
            };
        }
        let Watcher::Running(runs) = watcher else { return false };
        match runs.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => true,
            // Removed meanwhile, which is an event of its parent folder.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => true,
            Err(error) => {
                tracing::debug!(folder = %folder.display(), why = %error, "a folder cannot be watched");
                false
            }
        }
    }

    fn watcher(&self) -> MutexGuard<'_, Watcher> {
        self.watcher.lock()
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock()
    }
}

impl EventQueue {
    /// Takes the pending events.
    pub(super) fn take(&self) -> PendingEvents {
        std::mem::take(&mut self.lock())
    }

    /// Returns whether the event of a probe file arrived.
    pub(super) fn has_probe_event(&self) -> bool {
        self.lock().probe
    }

    /// Records an event of a path.
    fn record(&self, path: PathBuf, kind: EventKind) {
        let mut pending = self.lock();
        if pending.paths.len() >= MAX_PATHS {
            pending.paths.clear();
            pending.overflowed = true;
        }
        let record = pending.paths.entry(path).or_insert(LastEvent { at: Instant::now(), is_open: false });
        record.at = Instant::now();
        match kind {
            // Only Linux reports that a file was closed after writing.
            EventKind::Modify(ModifyKind::Data(_)) => record.is_open = cfg!(target_os = "linux"),
            EventKind::Modify(ModifyKind::Metadata(_)) => {}
            _ => record.is_open = false,
        }
        drop(pending);
        self.changed.notify_one();
    }

    fn note(&self, change: impl FnOnce(&mut PendingEvents)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, PendingEvents> {
        self.pending.lock()
    }
}

/// Distributes an event; called on the watcher's thread.
fn dispatch(subscribers: &Mutex<Subscribers>, event: notify::Result<Event>) {
    let subscribers = subscribers.lock();
    let Some(event) = event.ok().filter(|event| !event.need_rescan()) else {
        return subscribers
            .values()
            .flatten()
            .for_each(|(listener, _)| listener.note(|pending| pending.overflowed = true));
    };
    // Read accesses are events too, including our own.
    if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write)) {
        return;
    }
    for path in &event.paths {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        for (listener, mapping) in subscribers.get(folder).into_iter().flatten() {
            match mapping {
                _ if name.to_string_lossy().starts_with(PROBE_PREFIX) => listener.note(|pending| pending.probe = true),
                PathMapping::Folder(known) => listener.record(known.join(name), event.kind),
                PathMapping::Entry(entry, known) if entry == name => listener.record(known.clone(), event.kind),
                PathMapping::Entry(..) => {}
            }
        }
        for (listener, mapping) in subscribers.get(path).into_iter().flatten() {
            let (PathMapping::Folder(known) | PathMapping::Entry(_, known)) = mapping;
            listener.record(known.clone(), event.kind);
        }
    }
}
