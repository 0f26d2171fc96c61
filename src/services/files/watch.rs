//! One watch: scans paths with events, and reports the files that differ once they have settled.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::services::files::change::{Change, ChangeKind};
use crate::services::files::content::{self, Content, FileStamp};
use crate::services::files::debouncer::{ChangeSource, Debouncer};
use crate::services::files::mount;
use crate::services::files::registrations::Registrations;
use crate::services::files::rules::{MAX_DEPTH, PathKind, WatchRules};
use crate::services::files::system_watcher::{PathMapping, PendingEvents, SystemWatcher};
use crate::services::files::tree::{KnownFile, Tree};

/// Interval of full scans, in case an event was lost.
const SCAN_INTERVAL: Duration = Duration::from_secs(30);
/// Interval of full scans where no events arrive.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for reading contents when a watch starts; the rest is read in the background.
const START_LIMIT: Duration = Duration::from_millis(100);
const WATCH_LIMIT_REACHED: &str =
    "the system's limit of watched folders is reached (on Linux: fs.inotify.max_user_watches)";

/// A watch of a folder.
pub(super) struct Watch {
    rules: Arc<WatchRules>,
    registrations: Registrations,
    tree: Tree,
    debouncer: Debouncer,
    /// Whether to scan every second, since events may be missing.
    is_polling: bool,
    next_scan: Instant,
    settled: Vec<Change>,
}

/// Sends settled changes until the receiver is dropped.
pub(super) async fn run(mut watch: Watch, deliver: mpsc::Sender<Vec<Change>>) {
    let events = Arc::clone(&watch.registrations.events);
    let mut work: fn(&mut Watch) = Watch::begin;
    loop {
        let stepped = tokio::task::spawn_blocking(move || {
            work(&mut watch);
            watch
        });
        watch = match stepped.await {
            Ok(watch) => watch,
            Err(error) if error.is_cancelled() => return,
            Err(error) => return tracing::error!(%error, "a folder is no longer watched"),
        };
        work = Watch::step;
        let settled = std::mem::take(&mut watch.settled);
        if !settled.is_empty() && deliver.send(settled).await.is_err() {
            break;
        }
        tokio::select! {
            () = events.changed.notified() => {}
            () = tokio::time::sleep_until(watch.next_deadline().into()) => {}
            () = deliver.closed() => break,
        }
    }
    let _ = tokio::task::spawn_blocking(move || drop(watch)).await;
}

impl Watch {
    /// Scans the folder, and registers for its events.
    pub(super) fn start(system: Arc<SystemWatcher>, rules: Arc<WatchRules>) -> Self {
        let mut watch = Self {
            registrations: Registrations::new(system),
            tree: Tree::new(Arc::clone(&rules)),
            debouncer: Debouncer::default(),
            is_polling: fs::canonicalize(&rules.root).is_ok_and(|root| mount::misses_events(&root)),
            next_scan: Instant::now() + POLL_INTERVAL,
            settled: Vec::new(),
            rules,
        };
        watch.registrations.sync(&watch.tree);
        let found = watch.scan(&Arc::clone(&watch.rules).root);
        let enough = Instant::now() + START_LIMIT;
        for (path, stamp) in found.into_iter().filter_map(|(path, stamp)| Some((path, stamp?))) {
            watch.tree.files.insert(path.clone(), KnownFile { stamp, content: Content::Unread });
            if Instant::now() < enough {
                watch.tree.read_content(&path);
            }
        }
        watch.registrations.sync(&watch.tree);
        watch
    }

    /// Reads the contents that are not read yet, and checks whether events arrive.
    fn begin(&mut self) {
        if !self.is_polling && !self.registrations.receives_events(&self.rules.root) {
            self.start_polling("the file system sends no events");
        }
        let pending = self.registrations.events.take();
        // Touched files are compared with the content before the event, which is unknown.
        let is_unread = |path: &PathBuf, known: &KnownFile| {
            known.content == Content::Unread && !pending.overflowed && !pending.paths.contains_key(path)
        };
        let files = self.tree.files.iter();
        let unread: Vec<PathBuf> =
            files.filter(|(path, known)| is_unread(path, known)).map(|(path, _)| path.clone()).collect();
        self.apply_events(pending);
        unread.iter().for_each(|path| self.tree.read_content(path));
        if self.registrations.watch_failed {
            self.start_polling(WATCH_LIMIT_REACHED);
        }
        self.step();
    }

    /// Applies events, scans if it is time, and collects settled changes.
    fn step(&mut self) {
        let pending = self.registrations.events.take();
        self.apply_events(pending);
        let settled = self.debouncer.take_settled(&self.tree, &self.rules);
        if !settled.is_empty() {
            settled.into_iter().for_each(|(path, source)| self.report_change(path, source));
            self.registrations.sync(&self.tree);
        }
    }

    /// Returns when to continue if no event arrives.
    fn next_deadline(&self) -> Instant {
        self.debouncer.next_deadline().map_or(self.next_scan, |next| next.min(self.next_scan))
    }

    fn apply_events(&mut self, pending: PendingEvents) {
        if pending.overflowed || self.next_scan <= Instant::now() {
            let found = self.scan(&Arc::clone(&self.rules).root);
            let source = if pending.overflowed || self.is_polling { ChangeSource::Event } else { ChangeSource::Scan };
            self.debouncer.add(found, &self.tree, source);
            self.next_scan = Instant::now() + if self.is_polling { POLL_INTERVAL } else { SCAN_INTERVAL };
        }
        if pending.paths.is_empty() && !pending.overflowed {
            return;
        }
        let touched: Vec<_> = pending.paths.into_iter().filter(|(path, _)| self.tree.is_relevant(path)).collect();
        for (path, _) in &touched {
            if let Some(real) = self.tree.folders.get(path) {
                self.registrations.refresh(real);
            }
            self.scan_again(path);
        }
        self.tree.changed_symlinks().iter().for_each(|path| self.scan_again(path));
        for (path, event) in touched {
            self.debouncer.record_event(path, event, &self.tree, &self.rules);
        }
        // Folders may have changed between their scan and their registration: scan them again.
        for _ in 0..MAX_DEPTH {
            let entries = self.registrations.sync(&self.tree);
            if entries.is_empty() {
                break;
            }
            entries.iter().for_each(|path| self.scan_again(path));
        }
        if self.registrations.watch_failed {
            self.start_polling(WATCH_LIMIT_REACHED);
        }
    }

    fn scan_again(&mut self, path: &Path) {
        let found = self.scan(path);
        self.debouncer.add(found, &self.tree, ChangeSource::Event);
    }

    /// Scans a path recursively, registering each folder before it is read.
    fn scan(&mut self, path: &Path) -> BTreeMap<PathBuf, Option<FileStamp>> {
        let registrations = &mut self.registrations;
        self.tree.scan(path, &mut |folder, real| {
            registrations.register(real.to_owned(), PathMapping::Folder(folder.to_owned()));
        })
    }

    /// Reports a settled file, if it differs.
    fn report_change(&mut self, path: PathBuf, source: ChangeSource) {
        let before = self.tree.files.get(&path).copied();
        let after = matches!(self.rules.inspect(&path), PathKind::File(_)).then(|| content::read(&path)).flatten();
        match after {
            Some((stamp, content)) => drop(self.tree.files.insert(path.clone(), KnownFile { stamp, content })),
            None => drop(self.tree.files.remove(&path)),
        }
        let kind = match (before, after) {
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), None) => ChangeKind::Removed,
            (Some(known), Some((stamp, content))) if is_changed(&known, stamp, content) => ChangeKind::Modified,
            _ => return,
        };
        if source == ChangeSource::Scan {
            self.start_polling("a change was found without an event");
        }
        self.settled.push(Change { path, kind });
    }

    /// Starts to scan every second.
    fn start_polling(&mut self, why: &str) {
        if !self.is_polling {
            tracing::info!(folder = %self.rules.root.display(), why, "scanning for changed files every second");
            self.is_polling = true;
            self.next_scan = Instant::now() + POLL_INTERVAL;
        }
    }
}

fn is_changed(known: &KnownFile, stamp: FileStamp, content: Content) -> bool {
    match (known.content, content) {
        (Content::Hash(before), Content::Hash(after)) => before != after,
        (Content::Unread, _) => true,
        (before, after) => before != after || known.stamp != stamp,
    }
}
