//! One watch: looks where something may have changed, and tells what is different once it has settled.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::services::files::attention::Attention;
use crate::services::files::hub::{Heard, Hub, Place};
use crate::services::files::motion::{Motion, Source};
use crate::services::files::tree::{self, Content, Known, MAX_DEPTH, Rules, Seen, Stamp, Tree};
use crate::services::files::{Change, ChangeKind, mount};

/// Everything is looked at so often in case an event was lost.
const RESCAN: Duration = Duration::from_secs(30);
/// Where no events come, everything is looked at so often.
const POLL: Duration = Duration::from_secs(1);
/// Who starts a watch waits no longer than this for contents to be read; the rest is read in the background.
const START_LIMIT: Duration = Duration::from_millis(100);
const REFUSED: &str = "the system watches no more folders (on Linux, fs.inotify.max_user_watches says how many)";

/// A watch over a folder.
pub(super) struct Watch {
    rules: Arc<Rules>,
    attention: Attention,
    tree: Tree,
    motion: Motion,
    /// Whether to look every second, since events may not come.
    polls: bool,
    next_scan: Instant,
    settled: Vec<Change>,
}

/// Delivers what settles until nobody takes it.
pub(super) async fn keep(mut watch: Watch, deliver: mpsc::Sender<Vec<Change>>) {
    let ear = Arc::clone(&watch.attention.ear);
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
            attention: Attention::new(hub),
            tree: Tree::new(Arc::clone(&rules)),
            motion: Motion::default(),
            polls: fs::canonicalize(&rules.root).is_ok_and(|root| mount::is_silent(&root)),
            next_scan: Instant::now() + POLL,
            settled: Vec::new(),
            rules,
        };
        watch.attention.follow(&watch.tree);
        let found = watch.visit(&Arc::clone(&watch.rules).root);
        let enough = Instant::now() + START_LIMIT;
        for (path, stamp) in found.into_iter().filter_map(|(path, stamp)| Some((path, stamp?))) {
            watch.tree.files.insert(path.clone(), Known { stamp, content: Content::Unread });
            if Instant::now() < enough {
                watch.tree.read(&path);
            }
        }
        watch.attention.follow(&watch.tree);
        watch
    }

    /// Reads what is there, to be compared with later, and sees whether events come.
    fn begin(&mut self) {
        if !self.polls && !self.attention.hears_itself(&self.rules.root) {
            self.poll("the file system does not tell of changes");
        }
        let heard = self.attention.ear.take();
        // What was touched meanwhile is not what was there at the start.
        let is_unread = |path: &PathBuf, known: &Known| {
            known.content == Content::Unread && !heard.lost && !heard.touched.contains_key(path)
        };
        let files = self.tree.files.iter();
        let unread: Vec<PathBuf> =
            files.filter(|(path, known)| is_unread(path, known)).map(|(path, _)| path.clone()).collect();
        self.take_in(heard);
        unread.iter().for_each(|path| self.tree.read(path));
        if self.attention.is_refused {
            self.poll(REFUSED);
        }
        self.turn();
    }

    /// Takes in what was heard, looks again where it is time, and gathers what has settled.
    fn turn(&mut self) {
        let heard = self.attention.ear.take();
        self.take_in(heard);
        let settled = self.motion.settled(&self.tree, &self.rules);
        if !settled.is_empty() {
            settled.into_iter().for_each(|(path, source)| self.compare(path, source));
            self.attention.follow(&self.tree);
        }
    }

    /// Returns when to look again if nothing is heard.
    fn next_look(&self) -> Instant {
        self.motion.next_look().map_or(self.next_scan, |next| next.min(self.next_scan))
    }

    fn take_in(&mut self, heard: Heard) {
        if heard.lost || self.next_scan <= Instant::now() {
            let found = self.visit(&Arc::clone(&self.rules).root);
            let source = if heard.lost || self.polls { Source::Told } else { Source::Found };
            self.motion.suspect(found, &self.tree, source);
            self.next_scan = Instant::now() + if self.polls { POLL } else { RESCAN };
        }
        if heard.touched.is_empty() && !heard.lost {
            return;
        }
        let touched: Vec<_> = heard.touched.into_iter().filter(|(path, _)| self.tree.concerns(path)).collect();
        for (path, _) in &touched {
            if let Some(real) = self.tree.folders.get(path) {
                self.attention.refresh(real);
            }
            self.look_again(path);
        }
        self.tree.links_astray().iter().for_each(|path| self.look_again(path));
        for (path, touch) in touched {
            self.motion.touch(path, touch, &self.tree, &self.rules);
        }
        // What may have changed before we heard of it is looked at once more.
        for _ in 0..MAX_DEPTH {
            let entries = self.attention.follow(&self.tree);
            if entries.is_empty() {
                break;
            }
            entries.iter().for_each(|path| self.look_again(path));
        }
        if self.attention.is_refused {
            self.poll(REFUSED);
        }
    }

    fn look_again(&mut self, path: &Path) {
        let found = self.visit(path);
        self.motion.suspect(found, &self.tree, Source::Told);
    }

    /// Looks at a path and all below it, hearing of each folder before it is read.
    fn visit(&mut self, path: &Path) -> BTreeMap<PathBuf, Option<Stamp>> {
        let attention = &mut self.attention;
        self.tree.visit(path, &mut |folder, real| {
            attention.enter(real.to_owned(), Place::Folder(folder.to_owned()));
        })
    }

    /// Tells of a file that has settled, if it is different.
    fn compare(&mut self, path: PathBuf, source: Source) {
        let before = self.tree.files.get(&path).copied();
        let after = matches!(self.rules.look(&path), Seen::File(_)).then(|| tree::read(&path)).flatten();
        match after {
            Some((stamp, content)) => drop(self.tree.files.insert(path.clone(), Known { stamp, content })),
            None => drop(self.tree.files.remove(&path)),
        }
        let kind = match (before, after) {
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), None) => ChangeKind::Removed,
            (Some(known), Some((stamp, content))) if is_changed(&known, stamp, content) => ChangeKind::Modified,
            _ => return,
        };
        if source == Source::Found {
            self.poll("a change was found that the file system did not tell of");
        }
        self.settled.push(Change { path, kind });
    }

    /// Looks at everything every second from now on.
    fn poll(&mut self, why: &str) {
        if !self.polls {
            tracing::info!(folder = %self.rules.root.display(), why, "looking for changed files every second");
            self.polls = true;
            self.next_scan = Instant::now() + POLL;
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
