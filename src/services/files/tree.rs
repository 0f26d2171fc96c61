//! What is there: regular files below a folder, symlinks followed but not in circles, and what their content was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::services::files::hub::PROBE;
use crate::value::map_of;

/// Of larger files, time and size are compared instead of the content.
const MAX_COMPARED: u64 = 1 << 20;
/// Folders nest no deeper than this.
pub(super) const MAX_DEPTH: usize = 64;

/// Which files count.
pub(super) struct Rules {
    pub(super) root: PathBuf,
    ignore: Box<dyn Fn(&Path) -> bool + Send + Sync>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A regular file.
    File(Stamp),
    /// A folder; the real one.
    Folder(PathBuf),
    /// Nothing that counts.
    Nothing,
}

/// What changes with a file, as far as can be told without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    pub(super) len: u64,
    node: (u64, u64),
    is_linked: bool,
}

/// What a file held when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nobody has looked yet.
    Unread,
    Hash(u64),
    /// It is too large or can not be read: the stamp must do.
    Opaque,
}

/// A file as it was last told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) stamp: Stamp,
    pub(super) content: Content,
}

impl Rules {
    /// Puts rules together for all below an absolute path.
    pub(super) fn new(root: PathBuf, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self { root, ignore: Box::new(ignore) }
    }

    /// Looks where a path leads, if it counts.
    pub(super) fn look(&self, path: &Path) -> Seen {
        let is_probe = || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PROBE));
        if path != self.root && (is_probe() || (self.ignore)(path)) {
            return Seen::Nothing;
        }
        let Ok(own) = fs::symlink_metadata(path) else { return Seen::Nothing };
        let is_linked = own.is_symlink();
        let Some(metadata) = (if is_linked { fs::metadata(path).ok() } else { Some(own) }) else {
            return Seen::Nothing;
        };
        if metadata.is_file() {
            return Seen::File(Stamp::new(&metadata, is_linked));
        }
        match metadata.is_dir().then(|| fs::canonicalize(path)) {
            Some(Ok(real)) => Seen::Folder(real),
            _ => Seen::Nothing,
        }
    }

    /// Walks over a folder and all below it; `above` holds the real folders that lead there.
    fn walk(&self, path: &Path, real: PathBuf, above: &mut Vec<PathBuf>, found: &mut dyn FnMut(&Path, &Seen)) {
        let is_circle = above.iter().any(|above| above.starts_with(&real));
        if is_circle || above.len() >= MAX_DEPTH {
            return;
        }
        // Told before it is read: what appears from now on is heard of.
        found(path, &Seen::Folder(real.clone()));
        let Ok(entries) = fs::read_dir(path) else { return };
        above.push(real);
        for entry in entries.flatten() {
            let path = entry.path();
            match self.look(&path) {
                Seen::Folder(real) => self.walk(&path, real, above, found),
                Seen::Nothing => {}
                file => found(&path, &file),
            }
        }
        above.pop();
    }
}

impl Stamp {
    fn new(metadata: &Metadata, is_linked: bool) -> Self {
        #[cfg(unix)]
        let node = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let node = (0, 0);
        Self { modified: metadata.modified().ok(), len: metadata.len(), node, is_linked }
    }
}

/// Lists all files that count.
pub(super) fn files(rules: &Rules) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    match rules.look(&rules.root) {
        Seen::Folder(real) => rules.walk(&rules.root, real, &mut Vec::new(), &mut |path, seen| {
            if matches!(seen, Seen::File(_)) {
                files.insert(path.to_owned());
            }
        }),
        Seen::File(_) => drop(files.insert(rules.root.clone())),
        Seen::Nothing => {}
    }
    files.into_iter().collect()
}

/// Reads a file's content for comparison, never waiting for a writer; with the stamp that it had meanwhile.
pub(super) fn read(path: &Path) -> Option<(Stamp, Content)> {
    let is_linked = fs::symlink_metadata(path).ok()?.is_symlink();
    let Ok(mut file) = open(path) else {
        let metadata = fs::metadata(path).ok()?;
        return Some((Stamp::new(&metadata, is_linked), Content::Opaque));
    };
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    let stamp = Stamp::new(&metadata, is_linked);
    let content = if metadata.len() > MAX_COMPARED { None } else { hash(&mut file) };
    let after = Stamp::new(&file.metadata().ok()?, is_linked);
    Some((stamp, content.filter(|_| stamp == after).map_or(Content::Opaque, Content::Hash)))
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A fifo that took the file's place this moment must not hold us up.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, O_NONBLOCK);
    options.open(path)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const O_NONBLOCK: i32 = 4;

fn hash(file: &mut File) -> Option<u64> {
    let (mut hasher, mut buffer) = (DefaultHasher::new(), [0; 16 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(hasher.finish()),
            Ok(read) => hasher.write(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Folders and files as they are known.
pub(super) struct Tree {
    rules: Arc<Rules>,
    /// Paths, and the real folders they lead to.
    pub(super) folders: BTreeMap<PathBuf, PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Known>,
}

impl Tree {
    /// Knows nothing yet.
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, folders: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Returns the watched path.
    pub(super) fn root(&self) -> &Path {
        &self.rules.root
    }

    /// Looks at a path and all below it; returns the files that may have changed.
    /// Tells of each folder before it is read.
    pub(super) fn visit(
        &mut self,
        path: &Path,
        enter: &mut dyn FnMut(&Path, &Path),
    ) -> BTreeMap<PathBuf, Option<Stamp>> {
        let mut suspects: BTreeMap<PathBuf, Option<Stamp>> = BTreeMap::new();
        let seen = self.rules.look(path);
        let known = |(file, known): (&PathBuf, &Known)| (file.clone(), known.stamp);
        let below = self.files.range(path.to_owned()..).take_while(|(file, _)| file.starts_with(path));
        let mut missing = map_of(below.map(known));
        self.leave(path);
        let mut found = |file: &Path, stamp: Stamp| {
            if missing.remove(file) != Some(stamp) {
                suspects.insert(file.to_owned(), Some(stamp));
            }
        };
        match seen {
            Seen::Nothing => {}
            Seen::File(stamp) => found(path, stamp),
            Seen::Folder(real) => {
                let mut above = self.above(path);
                let (rules, folders) = (Arc::clone(&self.rules), &mut self.folders);
                rules.walk(path, real, &mut above, &mut |path, seen| match seen {
                    Seen::Folder(real) => {
                        folders.insert(path.to_owned(), real.clone());
                        enter(path, real);
                    }
                    Seen::File(stamp) => found(path, *stamp),
                    Seen::Nothing => {}
                });
            }
        }
        suspects.extend(missing.into_keys().map(|file| (file, None)));
        suspects
    }

    /// Reads a known file's content, if it is still the same file.
    pub(super) fn read(&mut self, path: &Path) {
        if let Some(known) = self.files.get_mut(path)
            && let Some((stamp, content)) = read(path)
            && stamp == known.stamp
        {
            known.content = content;
        }
    }

    /// Returns whether events of this path concern us.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        path == self.rules.root
            || self.files.contains_key(path)
            || path.parent().is_some_and(|folder| self.folders.contains_key(folder))
    }

    /// Lists what symlinks stand for: their targets may change without an event of their own.
    pub(super) fn links(&self) -> Vec<PathBuf> {
        let files = self.files.iter().filter(|(_, known)| known.stamp.is_linked).map(|(path, _)| path);
        let folders = self.folders.iter().filter(|(path, real)| {
            let above = path.parent().and_then(|above| self.folders.get(above));
            above.zip(path.file_name()).is_some_and(|(above, name)| above.join(name) != **real)
        });
        files.chain(folders.map(|(path, _)| path)).cloned().collect()
    }

    /// Lists the symlinks that stand for something else by now.
    pub(super) fn links_astray(&self) -> Vec<PathBuf> {
        let is_astray = |link: &PathBuf| match self.rules.look(link) {
            Seen::Folder(real) => self.folders.get(link) != Some(&real),
            Seen::File(stamp) => self.files.get(link).is_none_or(|known| known.stamp != stamp),
            Seen::Nothing => true,
        };
        self.links().into_iter().filter(is_astray).collect()
    }

    fn leave(&mut self, path: &Path) {
        let gone = self.folders.range(path.to_owned()..).take_while(|(folder, _)| folder.starts_with(path));
        let gone: Vec<PathBuf> = gone.map(|(folder, _)| folder.clone()).collect();
        gone.iter().for_each(|folder| drop(self.folders.remove(folder)));
    }

    fn above(&self, path: &Path) -> Vec<PathBuf> {
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(&self.rules.root));
        let mut real: Vec<_> = above.filter_map(|above| self.folders.get(above).cloned()).collect();
        real.reverse();
        real
    }
}
