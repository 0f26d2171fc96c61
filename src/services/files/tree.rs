//! The known state of a watched tree: regular files below a folder, symlinks followed without cycles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::services::files::content::{self, Content, FileStamp};
use crate::services::files::rules::{PathKind, WatchRules};
use crate::value::map_of;

/// A file as it was last reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFile {
    pub(super) stamp: FileStamp,
    pub(super) content: Content,
}

/// The known folders and files of a watch.
pub(super) struct Tree {
    rules: Arc<WatchRules>,
    /// Paths of folders, with their canonical paths.
    pub(super) folders: BTreeMap<PathBuf, PathBuf>,
    pub(super) files: BTreeMap<PathBuf, KnownFile>,
}

impl Tree {
    /// Returns an empty tree.
    pub(super) fn new(rules: Arc<WatchRules>) -> Self {
        Self { rules, folders: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Returns the watched path.
    pub(super) fn root(&self) -> &Path {
        &self.rules.root
    }

    /// Scans a path recursively, and returns the files whose stamp has changed.
    /// Calls `enter` for each folder before it is read.
    pub(super) fn scan(
        &mut self,
        path: &Path,
        enter: &mut dyn FnMut(&Path, &Path),
    ) -> BTreeMap<PathBuf, Option<FileStamp>> {
        let mut suspects: BTreeMap<PathBuf, Option<FileStamp>> = BTreeMap::new();
        let seen = self.rules.inspect(path);
        let known = |(file, known): (&PathBuf, &KnownFile)| (file.clone(), known.stamp);
        let below = self.files.range(path.to_owned()..).take_while(|(file, _)| file.starts_with(path));
        let mut missing = map_of(below.map(known));
        self.forget_folders(path);
        let mut found = |file: &Path, stamp: FileStamp| {
            if missing.remove(file) != Some(stamp) {
                suspects.insert(file.to_owned(), Some(stamp));
            }
        };
        match seen {
            PathKind::Ignored => {}
            PathKind::File(stamp) => found(path, stamp),
            PathKind::Folder(real) => {
                let mut above = self.above(path);
                let (rules, folders) = (Arc::clone(&self.rules), &mut self.folders);
                rules.walk(path, real, &mut above, &mut |path, seen| match seen {
                    PathKind::Folder(real) => {
                        folders.insert(path.to_owned(), real.clone());
                        enter(path, real);
                    }
                    PathKind::File(stamp) => found(path, *stamp),
                    PathKind::Ignored => {}
                });
            }
        }
        suspects.extend(missing.into_keys().map(|file| (file, None)));
        suspects
    }

    /// Reads a known file's content, if its stamp has not changed.
    pub(super) fn read_content(&mut self, path: &Path) {
        if let Some(known) = self.files.get_mut(path)
            && let Some((stamp, content)) = content::read(path)
            && stamp == known.stamp
        {
            known.content = content;
        }
    }

    /// Returns whether events of a path matter to this watch.
    pub(super) fn is_relevant(&self, path: &Path) -> bool {
        path == self.rules.root
            || self.files.contains_key(path)
            || path.parent().is_some_and(|folder| self.folders.contains_key(folder))
    }

    /// Returns the symlinks, whose targets may change without an event of their own.
    pub(super) fn symlinks(&self) -> Vec<PathBuf> {
        let files = self.files.iter().filter(|(_, known)| known.stamp.is_linked).map(|(path, _)| path);
        let folders = self.folders.iter().filter(|(path, real)| {
            let above = path.parent().and_then(|above| self.folders.get(above));
            above.zip(path.file_name()).is_some_and(|(above, name)| above.join(name) != **real)
        });
        files.chain(folders.map(|(path, _)| path)).cloned().collect()
    }

    /// Returns the symlinks whose targets have changed.
    pub(super) fn changed_symlinks(&self) -> Vec<PathBuf> {
        let is_changed = |link: &PathBuf| match self.rules.inspect(link) {
            PathKind::Folder(real) => self.folders.get(link) != Some(&real),
            PathKind::File(stamp) => self.files.get(link).is_none_or(|known| known.stamp != stamp),
            PathKind::Ignored => true,
        };
        self.symlinks().into_iter().filter(is_changed).collect()
    }

    fn forget_folders(&mut self, path: &Path) {
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
