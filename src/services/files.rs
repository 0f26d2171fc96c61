//! Files that change: settled changes below a folder, whatever the editor's save dance or the file system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// Its content is different.
    Modified,
    /// It is gone.
    Removed,
}

/// A change that has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, absolute.
    pub path: PathBuf,
    /// How it changed.
    pub kind: ChangeKind,
}

/// Files that change; cheap to clone.
#[derive(Clone, Default)]
pub struct Files(Arc<()>);

/// A watch over a folder; ends when dropped.
pub struct FolderWatch {
    /// Settled changes, in batches of those that settled together.
    pub changes: mpsc::Receiver<Vec<Change>>,
}

impl Files {
    /// Watches a folder and all below it, also when it does not exist yet.
    ///
    /// Files that are there already are no change. `ignore` tells paths (absolute) to leave out.
    pub fn watch(&self, _folder: &Path, _ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> FolderWatch {
        unimplemented!()
    }
}
