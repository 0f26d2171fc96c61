//! Debouncing: a change settles when its file has not been touched for some time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::services::files::content::FileStamp;
use crate::services::files::rules::{PathKind, WatchRules};
use crate::services::files::system_watcher::LastEvent;
use crate::services::files::tree::Tree;

/// Settle time of a file.
const SETTLE: Duration = Duration::from_millis(35);
/// Settle time of a removed file, which an editor may be about to recreate.
const SETTLE_REMOVED: Duration = Duration::from_millis(200);
/// Settle time of a file that is empty or open for writing.
const SETTLE_UNFINISHED: Duration = Duration::from_millis(250);
/// Settle time of a change that a scan found, so that its event can still arrive.
const SETTLE_SCANNED: Duration = Duration::from_secs(1);
/// Maximum settle time of a file that keeps changing.
const MAX_SETTLE: Duration = Duration::from_secs(5);
/// Maximum wait of settled changes for others, so that a rename or a checkout is one batch.
const MAX_BATCH_WAIT: Duration = Duration::from_millis(200);

/// Changes that have not settled.
#[derive(Default)]
pub(super) struct Debouncer(BTreeMap<PathBuf, PendingChange>);

struct PendingChange {
    stamp: Option<FileStamp>,
    since: Instant,
    touched: Instant,
    is_open: bool,
    is_scanned: bool,
}

/// How a change was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeSource {
    /// By an event, or by a scan where events cannot be expected.
    Event,
    /// By a scan, although an event was expected.
    Scan,
}

impl PendingChange {
    fn due(&self) -> Instant {
        let quiet = match self.stamp {
            _ if self.is_scanned => SETTLE_SCANNED,
            None => SETTLE_REMOVED,
            Some(stamp) if stamp.len == 0 || self.is_open => SETTLE_UNFINISHED,
            Some(_) => SETTLE,
        };
        (self.touched + quiet).min(self.since + MAX_SETTLE)
    }
}

impl Debouncer {
    /// Adds files whose stamp differs from the known one; `None`: the file does not exist.
    pub(super) fn add(&mut self, found: BTreeMap<PathBuf, Option<FileStamp>>, tree: &Tree, source: ChangeSource) {
        let (now, is_scanned) = (Instant::now(), source == ChangeSource::Scan);
        for (path, stamp) in found {
            // A temporary file that was created and removed in between.
            if stamp.is_none() && !tree.files.contains_key(&path) {
                self.0.remove(&path);
                continue;
            }
            let fresh = PendingChange { stamp, since: now, touched: now, is_open: false, is_scanned };
            let change = self.0.entry(path).or_insert(fresh);
            change.is_scanned &= is_scanned;
            if change.stamp != stamp {
                (change.stamp, change.touched) = (stamp, now);
            }
        }
    }

    /// Records an event of a path.
    pub(super) fn record_event(&mut self, path: PathBuf, record_event: LastEvent, tree: &Tree, rules: &WatchRules) {
        // Two writes within the resolution of the file system's timestamps leave the same stamp.
        if !self.0.contains_key(&path)
            && let PathKind::File(stamp) = rules.inspect(&path)
        {
            self.add(BTreeMap::from([(path.clone(), Some(stamp))]), tree, ChangeSource::Event);
        }
        if let Some(change) = self.0.get_mut(&path) {
            change.touched = change.touched.max(record_event.at);
            change.is_open = record_event.is_open;
        }
    }

    /// Takes the settled changes, unless others are about to settle.
    pub(super) fn take_settled(&mut self, tree: &Tree, rules: &WatchRules) -> Vec<(PathBuf, ChangeSource)> {
        let now = Instant::now();
        for (path, change) in self.0.iter_mut().filter(|(_, change)| change.due() <= now) {
            let stamp = match rules.inspect(path) {
                PathKind::File(stamp) => Some(stamp),
                PathKind::Folder(_) | PathKind::Ignored => None,
            };
            if change.stamp != stamp {
                (change.stamp, change.touched) = (stamp, now);
            }
        }
        self.0.retain(|path, change| change.stamp.is_some() || tree.files.contains_key(path));
        let has_unsettled = self.0.values().any(|change| change.due() > now);
        let is_late = self.0.values().any(|change| change.due() + MAX_BATCH_WAIT <= now);
        if has_unsettled && !is_late {
            return Vec::new();
        }
        let settled: Vec<PathBuf> =
            self.0.iter().filter(|(_, change)| change.due() <= now).map(|(path, _)| path.clone()).collect();
        let source = |was: PendingChange| if was.is_scanned { ChangeSource::Scan } else { ChangeSource::Event };
        settled
            .into_iter()
            .filter_map(|path| self.0.remove_entry(&path))
            .map(|(path, was)| (path, source(was)))
            .collect()
    }

    /// Returns when changes may have settled, if no event arrives until then.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        let next = |due: Instant| if due <= now { due + MAX_BATCH_WAIT } else { due };
        self.0.values().map(|change| next(change.due())).min()
    }
}
