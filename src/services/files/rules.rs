//! The files that a watch includes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::services::files::content::FileStamp;
use crate::services::files::system_watcher::PROBE_PREFIX;

/// Maximum depth of nested folders.
pub(super) const MAX_DEPTH: usize = 64;

/// The root of a watch and its ignored paths.
pub(super) struct WatchRules {
    pub(super) root: PathBuf,
    ignore: Box<dyn Fn(&Path) -> bool + Send + Sync>,
}

/// The kind of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathKind {
    /// A regular file.
    File(FileStamp),
    /// A folder, with its canonical path.
    Folder(PathBuf),
    /// Missing, ignored, or neither a file nor a folder.
    Ignored,
}

impl WatchRules {
    /// Returns rules for an absolute root.
    pub(super) fn new(root: PathBuf, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self { root, ignore: Box::new(ignore) }
    }

    /// Returns the kind of a path.
    pub(super) fn inspect(&self, path: &Path) -> PathKind {
        let is_probe = || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PROBE_PREFIX));
        if path != self.root && (is_probe() || (self.ignore)(path)) {
            return PathKind::Ignored;
        }
        let Ok(own) = fs::symlink_metadata(path) else { return PathKind::Ignored };
        let is_linked = own.is_symlink();
        let Some(metadata) = (if is_linked { fs::metadata(path).ok() } else { Some(own) }) else {
            return PathKind::Ignored;
        };
        if metadata.is_file() {
            return PathKind::File(FileStamp::new(&metadata, is_linked));
        }
        match metadata.is_dir().then(|| fs::canonicalize(path)) {
            Some(Ok(real)) => PathKind::Folder(real),
            _ => PathKind::Ignored,
        }
    }

    /// Walks a folder recursively; `above` contains the canonical ancestor folders.
    pub(super) fn walk(
        &self,
        path: &Path,
        real: PathBuf,
        above: &mut Vec<PathBuf>,
        found: &mut dyn FnMut(&Path, &PathKind),
    ) {
        let is_circle = above.iter().any(|above| above.starts_with(&real));
        if is_circle || above.len() >= MAX_DEPTH {
            return;
        }
        // Reported before it is read, so that the caller can watch it first and no new entry is missed.
        found(path, &PathKind::Folder(real.clone()));
        let Ok(entries) = fs::read_dir(path) else { return };
        above.push(real);
        for entry in entries.flatten() {
            let path = entry.path();
            match self.inspect(&path) {
                PathKind::Folder(real) => self.walk(&path, real, above, found),
                PathKind::Ignored => {}
                file => found(&path, &file),
            }
        }
        above.pop();
    }
}

/// Returns all files of a watch, in order.
pub(super) fn files(rules: &WatchRules) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    match rules.inspect(&rules.root) {
        PathKind::Folder(real) => rules.walk(&rules.root, real, &mut Vec::new(), &mut |path, seen| {
            if matches!(seen, PathKind::File(_)) {
                files.insert(path.to_owned());
            }
        }),
        PathKind::File(_) => drop(files.insert(rules.root.clone())),
        PathKind::Ignored => {}
    }
    files.into_iter().collect()
}
