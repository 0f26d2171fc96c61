//! Files in motion: each settles when it has been left alone for long enough.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::services::files::hub::Touch;
use crate::services::files::tree::{Rules, Seen, Stamp, Tree};

/// A file has settled when nothing has touched it for so long.
const QUIET: Duration = Duration::from_millis(35);
/// One that is gone may be on its way back: editors rename and make anew.
const QUIET_GONE: Duration = Duration::from_millis(200);
/// One that is empty, or still open for writing, is likely to get its content yet.
const QUIET_UNFINISHED: Duration = Duration::from_millis(250);
/// What was found without an event gets so long for the event to come after all.
const QUIET_FOUND: Duration = Duration::from_secs(1);
/// What never comes to rest counts as settled after so long.
const MAX_UNREST: Duration = Duration::from_secs(5);
/// What has settled waits so long for what is still in motion, so that a rename or a checkout is one batch.
const MAX_HOLD: Duration = Duration::from_millis(200);

/// Files that may be about to change.
#[derive(Default)]
pub(super) struct Motion(BTreeMap<PathBuf, Unsettled>);

struct Unsettled {
    stamp: Option<Stamp>,
    since: Instant,
    touched: Instant,
    is_open: bool,
    was_found: bool,
}

/// How something came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The system told, or nothing else was expected of it.
    Told,
    /// It was found by looking, where the system should have told.
    Found,
}

impl Unsettled {
    fn due(&self) -> Instant {
        let quiet = match self.stamp {
            _ if self.was_found => QUIET_FOUND,
            None => QUIET_GONE,
            Some(stamp) if stamp.len == 0 || self.is_open => QUIET_UNFINISHED,
            Some(_) => QUIET,
        };
        (self.touched + quiet).min(self.since + MAX_UNREST)
    }
}

impl Motion {
    /// Notes files that look different from what is known of them; `None`: not there any more.
    pub(super) fn suspect(&mut self, found: BTreeMap<PathBuf, Option<Stamp>>, tree: &Tree, source: Source) {
        let (now, was_found) = (Instant::now(), source == Source::Found);
        for (path, stamp) in found {
            // A backup file that came and went in between.
            if stamp.is_none() && !tree.files.contains_key(&path) {
                self.0.remove(&path);
                continue;
            }
            let fresh = Unsettled { stamp, since: now, touched: now, is_open: false, was_found };
            let unsettled = self.0.entry(path).or_insert(fresh);
            unsettled.was_found &= was_found;
            if unsettled.stamp != stamp {
                (unsettled.stamp, unsettled.touched) = (stamp, now);
            }
        }
    }

    /// Notes that the system told of a path.
    pub(super) fn touch(&mut self, path: PathBuf, touch: Touch, tree: &Tree, rules: &Rules) {
        // Written twice within one tick of the file system's clock, a file looks the same from outside.
        if !self.0.contains_key(&path)
            && let Seen::File(stamp) = rules.look(&path)
        {
            self.suspect(BTreeMap::from([(path.clone(), Some(stamp))]), tree, Source::Told);
        }
        if let Some(unsettled) = self.0.get_mut(&path) {
            unsettled.touched = unsettled.touched.max(touch.at);
            unsettled.is_open = touch.is_open;
        }
    }

    /// Takes out what has settled, unless something else is likely to settle with it soon.
    pub(super) fn settled(&mut self, tree: &Tree, rules: &Rules) -> Vec<(PathBuf, Source)> {
        let now = Instant::now();
        for (path, unsettled) in self.0.iter_mut().filter(|(_, unsettled)| unsettled.due() <= now) {
            let stamp = match rules.look(path) {
                Seen::File(stamp) => Some(stamp),
                Seen::Folder(_) | Seen::Nothing => None,
            };
            if unsettled.stamp != stamp {
                (unsettled.stamp, unsettled.touched) = (stamp, now);
            }
        }
        self.0.retain(|path, unsettled| unsettled.stamp.is_some() || tree.files.contains_key(path));
        let is_held = self.0.values().any(|unsettled| unsettled.due() > now);
        let is_late = self.0.values().any(|unsettled| unsettled.due() + MAX_HOLD <= now);
        if is_held && !is_late {
            return Vec::new();
        }
        let settled: Vec<PathBuf> =
            self.0.iter().filter(|(_, unsettled)| unsettled.due() <= now).map(|(path, _)| path.clone()).collect();
        let source = |was: Unsettled| if was.was_found { Source::Found } else { Source::Told };
        settled
            .into_iter()
            .filter_map(|path| self.0.remove_entry(&path))
            .map(|(path, was)| (path, source(was)))
            .collect()
    }

    /// Returns when to ask again for what has settled, if nothing is touched until then.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let now = Instant::now();
        let next = |due: Instant| if due <= now { due + MAX_HOLD } else { due };
        self.0.values().map(|unsettled| next(unsettled.due())).min()
    }
}
