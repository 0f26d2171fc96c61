//! One watch: waits until what changed has settled, and tells what is different then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::services::files::hub::{Ear, Heard, Hub, PROBE, Place, Touch};
use crate::services::files::tree::{self, Content, Known, MAX_DEPTH, Rules, Seen, Stamp, Tree};
use crate::services::files::{Change, ChangeKind, mount};

/// A file has settled when nothing has touched it for so long.
const QUIET: Duration = Duration::from_millis(40);
/// One that is gone may be on its way back: editors rename and make anew.
const QUIET_GONE: Duration = Duration::from_millis(200);
/// One that is empty, or still open for writing, is likely to get its content yet.
const QUIET_UNFINISHED: Duration = Duration::from_millis(250);
/// What was found without an event gets so long for the event to come after all.
const QUIET_FOUND: Duration = Duration::from_secs(1);
/// What never comes to rest is told of after so long anyway.
const MAX_UNREST: Duration = Duration::from_secs(5);
/// What has settled waits so long for what is still in motion, so that a rename or a checkout is one batch.
const MAX_HOLD: Duration = Duration::from_millis(200);
/// Everything is looked at so often in case an event was lost.
const RESCAN: Duration = Duration::from_secs(30);
/// Where no events come, everything is looked at so often.
const POLL: Duration = Duration::from_secs(1);
/// Who starts a watch waits no longer than this for contents to be read; the rest is read in the background.
const START_LIMIT: Duration = Duration::from_millis(100);
/// An event of our own file comes within so long, or not at all.
const PROBE_WAIT: Duration = Duration::from_secs(3);
const REFUSED: &str = "the system watches no more folders (on Linux, fs.inotify.max_user_watches says how many)";

/// A watch over a folder.
pub(super) struct Watch {
    hub: Arc<Hub>,
    rules: Arc<Rules>,
    ear: Arc<Ear>,
    tree: Tree,
    /// Real folders that we hear of, and as what.
    heard_of: BTreeSet<(PathBuf, Place)>,
    unsettled: BTreeMap<PathBuf, Unsettled>,
    /// Whether to look every second, since events may not come.
    polls: bool,
    next_scan: Instant,
    settled: Vec<Change>,
}

/// A file that may be about to change.
struct Unsettled {
    stamp: Option<Stamp>,
    since: Instant,
    touched: Instant,
    is_open: bool,
    /// Whether no event told of it.
    was_found: bool,
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

/// Delivers what settles until nobody takes it.
pub(super) async fn keep(mut watch: Watch, deliver: mpsc::Sender<Vec<Change>>) {
    let ear = Arc::clone(&watch.ear);
    let mut work: fn(&mut Watch) = Watch::begin;
    loop {
        let turned = tokio::task::spawn_blocking(move || {
            work(&mut watch);
            watch
        });
        watch = match turned.await {
            Ok(watch) => watch,
            Err(error) if error.is_cancelled() => return,
            Err(error) => return tracing::error!(%error, "a folder is no longer watched"),
        };
        work = Watch::turn;
        let settled = std::mem::take(&mut watch.settled);
        if !settled.is_empty() && deliver.send(settled).await.is_err() {
            break;
        }
        tokio::select! {
            () = ear.stirred.notified() => {}
            () = tokio::time::sleep_until(watch.next_look().into()) => {}
            () = deliver.closed() => break,
        }
    }
    let _ = tokio::task::spawn_blocking(move || drop(watch)).await;
}

impl Watch {
    /// Takes in what is there now, and hears of changes from now on.
    pub(super) fn start(hub: Arc<Hub>, rules: Arc<Rules>) -> Self {
        let mut watch = Self {
            hub,
            ear: Arc::default(),
            tree: Tree::new(Arc::clone(&rules)),
            heard_of: BTreeSet::new(),
            unsettled: BTreeMap::new(),
            polls: fs::canonicalize(&rules.root).is_ok_and(|root| mount::is_silent(&root)),
            next_scan: Instant::now() + POLL,
            settled: Vec::new(),
            rules,
        };
        watch.attend();
        let root = watch.rules.root.clone();
        let found = watch.visit(&root);
        let enough = Instant::now() + START_LIMIT;
        for (path, stamp) in found.into_iter().filter_map(|(path, stamp)| Some((path, stamp?))) {
            watch.tree.files.insert(path.clone(), Known { stamp, content: Content::Unread });
            if Instant::now() < enough {
                watch.tree.read(&path);
            }
        }
        watch.attend();
        watch
    }

    /// Reads what is there, to be compared with later, and sees whether events come.
    fn begin(&mut self) {
        if !self.polls && !self.hears_itself() {
            self.poll("the file system does not tell of changes");
        }
        let heard = self.ear.take();
        // What was touched meanwhile is not what was there at the start.
        let unread =
            |(path, known): (&PathBuf, &Known)| known.content == Content::Unread && !heard.touched.contains_key(path);
        let unread: Vec<PathBuf> =
            self.tree.files.iter().filter(|file| unread(*file)).map(|(path, _)| path.clone()).collect();
        self.take_in(heard);
        unread.iter().for_each(|path| self.tree.read(path));
        self.turn();
    }

    /// Takes in what was heard, looks again where it is time, and gathers what has settled.
    fn turn(&mut self) {
        let heard = self.ear.take();
        self.take_in(heard);
        self.settle();
    }

    /// Returns when to look again if nothing is heard.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let (ready, moving): (Vec<Instant>, Vec<Instant>) =
            self.unsettled.values().map(Unsettled::due).partition(|due| *due <= now);
        let next = moving.into_iter().chain(ready.into_iter().map(|due| due + MAX_HOLD)).min();
        next.map_or(self.next_scan, |next| next.min(self.next_scan))
    }

    fn take_in(&mut self, heard: Heard) {
        let now = Instant::now();
        if heard.lost || self.next_scan <= now {
            let root = self.rules.root.clone();
            let found = self.visit(&root);
            self.suspect(found, now, !heard.lost);
            self.next_scan = Instant::now() + if self.polls { POLL } else { RESCAN };
        }
        if heard.touched.is_empty() && !heard.lost {
            return;
        }
        let touched = heard.touched;
        let concerning: Vec<PathBuf> = touched.keys().filter(|path| self.tree.concerns(path)).cloned().collect();
        for path in &concerning {
            self.refresh(path);
            self.look_again(path);
        }
        self.tree.links_astray().iter().for_each(|path| self.look_again(path));
        for path in concerning {
            self.touch(&path, touched[&path]);
        }
        // What may have changed before we heard of it is looked at once more.
        for _ in 0..MAX_DEPTH {
            let entries = self.attend();
            if entries.is_empty() {
                break;
            }
            entries.iter().for_each(|path| self.look_again(path));
        }
    }

    fn look_again(&mut self, path: &Path) {
        let found = self.visit(path);
        self.suspect(found, Instant::now(), false);
    }

    fn touch(&mut self, path: &Path, touch: Touch) {
        // Written twice within one tick of the file system's clock, a file looks the same from outside.
        if !self.unsettled.contains_key(path)
            && let Seen::File(stamp) = self.rules.look(path)
        {
            self.suspect(BTreeMap::from([(path.to_owned(), Some(stamp))]), touch.at, false);
        }
        if let Some(unsettled) = self.unsettled.get_mut(path) {
            unsettled.touched = unsettled.touched.max(touch.at);
            unsettled.is_open = touch.is_open;
        }
    }

    fn suspect(&mut self, found: BTreeMap<PathBuf, Option<Stamp>>, now: Instant, was_found: bool) {
        for (path, stamp) in found {
            // A backup file that came and went in between.
            if stamp.is_none() && !self.tree.files.contains_key(&path) {
                self.unsettled.remove(&path);
                continue;
            }
            let was_found = was_found && !self.polls;
            let fresh = Unsettled { stamp, since: now, touched: now, is_open: false, was_found };
            let unsettled = self.unsettled.entry(path).or_insert(fresh);
            unsettled.was_found &= was_found;
            if unsettled.stamp != stamp {
                unsettled.stamp = stamp;
                unsettled.touched = now;
            }
        }
    }

    /// Tells of what has settled, if nothing else is likely to settle with it soon.
    fn settle(&mut self) {
        let now = Instant::now();
        let due: Vec<PathBuf> = self
            .unsettled
            .iter()
            .filter(|(_, unsettled)| unsettled.due() <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &due {
            let stamp = match self.rules.look(path) {
                Seen::File(stamp) => Some(stamp),
                _ => None,
            };
            if let Some(unsettled) = self.unsettled.get_mut(path)
                && unsettled.stamp != stamp
            {
                (unsettled.stamp, unsettled.touched) = (stamp, now);
            }
        }
        self.unsettled.retain(|path, unsettled| unsettled.stamp.is_some() || self.tree.files.contains_key(path));
        let is_held = self.unsettled.values().any(|unsettled| unsettled.due() > now);
        let is_late = self.unsettled.values().any(|unsettled| unsettled.due() + MAX_HOLD <= now);
        if is_held && !is_late {
            return;
        }
        for path in due {
            if self.unsettled.get(&path).is_some_and(|unsettled| unsettled.due() <= now) {
                self.compare(path);
            }
        }
        self.attend();
    }

    fn compare(&mut self, path: PathBuf) {
        let Some(unsettled) = self.unsettled.remove(&path) else { return };
        let before = self.tree.files.get(&path).copied();
        let after = matches!(self.rules.look(&path), Seen::File(_)).then(|| tree::read(&path)).flatten();
        let kind = match (before, after) {
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), None) => ChangeKind::Removed,
            (Some(known), Some((stamp, content))) if is_changed(&known, stamp, content) => ChangeKind::Modified,
            _ => return self.remember(path, after),
        };
        self.remember(path.clone(), after);
        if unsettled.was_found {
            self.poll("a change was found that the file system did not tell of");
        }
        self.settled.push(Change { path, kind });
    }

    fn remember(&mut self, path: PathBuf, seen: Option<(Stamp, Content)>) {
        match seen {
            Some((stamp, content)) => drop(self.tree.files.insert(path, Known { stamp, content })),
            None => drop(self.tree.files.remove(&path)),
        }
    }

    /// Looks at a path and all below it, hearing of each folder before it is read.
    fn visit(&mut self, path: &Path) -> BTreeMap<PathBuf, Option<Stamp>> {
        let (hub, ear, heard_of) = (&self.hub, &self.ear, &mut self.heard_of);
        let mut is_refused = false;
        let found = self.tree.visit(path, &mut |folder, real| {
            let place = Place::Folder(folder.to_owned());
            if heard_of.insert((real.to_owned(), place.clone())) {
                is_refused |= !hub.add(real, ear, place);
            }
        });
        if is_refused {
            self.poll(REFUSED);
        }
        found
    }

    /// Hears of a known folder again: it may be another one by the same name.
    fn refresh(&mut self, path: &Path) {
        if self.tree.folders.get(path).is_some_and(|real| !self.hub.refresh(real)) {
            self.poll(REFUSED);
        }
    }

    /// Hears of what is there now, and no longer of what is gone; returns the paths of single entries that are newly heard of.
    fn attend(&mut self) -> Vec<PathBuf> {
        let wanted = self.wanted();
        let gone: Vec<_> = self.heard_of.difference(&wanted).cloned().collect();
        for (folder, place) in &gone {
            self.hub.remove(folder, &self.ear, place);
            self.heard_of.remove(&(folder.clone(), place.clone()));
        }
        let (mut entries, mut is_refused) = (Vec::new(), false);
        for (folder, place) in wanted {
            if self.heard_of.insert((folder.clone(), place.clone())) {
                if let Place::Entry(_, path) = &place {
                    entries.push(path.clone());
                }
                is_refused |= !self.hub.add(&folder, &self.ear, place);
            } else if !gone.is_empty() {
                // A renamed folder kept the system's watch of its old name, which has just ended.
                is_refused |= !self.hub.refresh(&folder);
            }
        }
        if is_refused {
            self.poll(REFUSED);
        }
        entries
    }

    /// Looks at everything every second from now on.
    fn poll(&mut self, why: &str) {
        if !self.polls {
            tracing::info!(folder = %self.rules.root.display(), why, "looking for changed files every second");
            self.polls = true;
            self.next_scan = Instant::now() + POLL;
        }
    }

    fn wanted(&self) -> BTreeSet<(PathBuf, Place)> {
        let folders = self.tree.folders.iter();
        let mut wanted: BTreeSet<_> = folders.map(|(path, real)| (real.clone(), Place::Folder(path.clone()))).collect();
        for link in self.tree.links() {
            if let Ok(target) = fs::canonicalize(&link)
                && let (Some(folder), Some(name)) = (target.parent(), target.file_name())
            {
                wanted.insert((folder.to_owned(), Place::Entry(name.to_owned(), link)));
            }
        }
        wanted.extend(self.doorstep());
        wanted
    }

    /// Returns the nearest folder above the root that is there, and the entry that leads to the root.
    fn doorstep(&self) -> Option<(PathBuf, Place)> {
        let root = &self.rules.root;
        let above = root.ancestors().zip(root.ancestors().skip(1));
        above
            .filter_map(|(entry, folder)| {
                let real = fs::canonicalize(folder).ok()?;
                Some((real, Place::Entry(entry.file_name()?.to_owned(), root.clone())))
            })
            .next()
    }

    /// Makes a file where it may, to see whether that is heard of; once for each device.
    fn hears_itself(&self) -> bool {
        let Some(device) = device(&self.rules.root) else { return true };
        let tested = || self.hub.tested.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hears) = tested().get(&device) {
            return *hears;
        }
        let probe = self.rules.root.join(format!("{PROBE}{}", std::process::id()));
        if fs::write(&probe, "").is_err() {
            return true;
        }
        let started = Instant::now();
        let mut hears = self.ear.heard_probe();
        while !hears && started.elapsed() < PROBE_WAIT {
            std::thread::sleep(Duration::from_millis(2));
            hears = self.ear.heard_probe();
        }
        let _ = fs::remove_file(&probe);
        tested().insert(device, hears);
        hears
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (folder, place) in &self.heard_of {
            self.hub.remove(folder, &self.ear, place);
        }
    }
}

fn is_changed(known: &Known, stamp: Stamp, content: Content) -> bool {
    match (known.content, content) {
        (Content::Hash(before), Content::Hash(after)) => before != after,
        (Content::Unread, _) => true,
        (before, after) => before != after || known.stamp != stamp,
    }
}

#[cfg(unix)]
fn device(folder: &Path) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::dev(&fs::metadata(folder).ok()?))
}

#[cfg(not(unix))]
fn device(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().map(|_| 0)
}
