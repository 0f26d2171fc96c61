//! Files that change: settled changes below a folder, whatever the editor's save dance or the file system; and changing one as a whole.

mod attention;
mod exchange;
mod held;
mod hub;
mod motion;
mod mount;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

pub use self::exchange::successor;
use crate::services::files::held::Held;
use crate::services::files::hub::Hub;
use crate::services::files::tree::Rules;
use crate::services::files::watch::Watch;

/// So many batches wait to be picked up; until then, further changes gather as one more.
const MAX_BATCHES: usize = 16;

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
pub struct Files(Arc<Hub>, Option<Arc<Held>>);

/// A watch over a folder; ends when its changes are dropped.
pub struct FolderWatch {
    /// Settled changes, in batches of those that settled together.
    pub changes: mpsc::Receiver<Vec<Change>>,
    rules: Arc<Rules>,
}

impl Files {
    /// Watches a folder and all below it, also when it does not exist yet. Symlinks are followed, but not in circles.
    ///
    /// Files that are there already are no change; a change after this returns is one. Files that are no regular files count as not
    /// there. `ignore` tells paths (absolute) to leave out; what is below an ignored folder is not looked at.
    ///
    /// Must be called within a tokio runtime. Reads the folder's listing before it returns.
    pub fn watch(&self, folder: &Path, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> FolderWatch {
        let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let rules = Arc::new(Rules::new(root, ignore));
        let (deliver, changes) = mpsc::channel(MAX_BATCHES);
        if let Some(held) = &self.1 {
            held.watch(Arc::clone(&rules), deliver);
            return FolderWatch { changes, rules };
        }
        let watch = Watch::start(Arc::clone(&self.0), Arc::clone(&rules));
        tokio::spawn(watch::keep(watch, deliver));
        FolderWatch { changes, rules }
    }
}

#[cfg(test)]
impl Files {
    /// Hears of nothing, as on a file system that sends no events.
    fn deaf() -> Self {
        Self(Arc::new(Hub::deaf()), None)
    }
}

impl FolderWatch {
    /// Lists the regular files that are there now, by the same rules, in order. Blocks on the disk.
    pub fn files(&self) -> Vec<PathBuf> {
        tree::files(&self.rules)
    }
}
