//! The handle on watched files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::services::files::change::Change;
use crate::services::files::rules::{self, WatchRules};
use crate::services::files::system_watcher::SystemWatcher;
use crate::services::files::virtual_files::VirtualFiles;
use crate::services::files::watch::{self, Watch};

/// Maximum number of undelivered batches; further changes are combined into one more batch.
const MAX_BATCHES: usize = 16;

/// Watched files; cheap to clone.
#[derive(Clone, Default)]
pub struct Files {
    system: Arc<SystemWatcher>,
    /// The files of a simulation.
    virtual_files: Option<Arc<dyn VirtualFiles>>,
}

/// A watch of a folder; ends when its receiver is dropped.
pub struct FolderWatch {
    /// Batches of changes that settled together.
    pub changes: mpsc::Receiver<Vec<Change>>,
    rules: Arc<WatchRules>,
}

impl Files {
    /// Returns the files of a simulation.
    pub fn simulated(files: Arc<dyn VirtualFiles>) -> Self {
        Self { system: Arc::default(), virtual_files: Some(files) }
    }

    /// Watches a folder and everything below it, also when it does not exist yet. Symlinks are followed without cycles.
    ///
    /// Existing files are not reported; every change after this function returns is. Only regular files count. `ignore` excludes absolute
    /// paths; an ignored folder is not scanned.
    ///
    /// Must be called within a tokio runtime. Blocks while it lists the folder.
    pub fn watch(&self, folder: &Path, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> FolderWatch {
        let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let rules = Arc::new(WatchRules::new(root, ignore));
        let (deliver, changes) = mpsc::channel(MAX_BATCHES);
        if let Some(files) = &self.virtual_files {
            files.watch(&rules.root, deliver);
            return FolderWatch { changes, rules };
        }
        let watch = Watch::start(Arc::clone(&self.system), Arc::clone(&rules));
        tokio::spawn(watch::run(watch, deliver));
        FolderWatch { changes, rules }
    }

    /// Returns the actual path of a file: in a simulation a path below its folder.
    pub fn resolve(&self, path: PathBuf) -> PathBuf {
        match &self.virtual_files {
            Some(files) => files.resolve(&path),
            None => path,
        }
    }

    /// Returns files without events, as on a file system that sends none.
    #[cfg(test)]
    pub(super) fn without_events() -> Self {
        Self { system: Arc::new(SystemWatcher::without_events()), virtual_files: None }
    }
}

impl FolderWatch {
    /// Returns the regular files that exist now, by the rules of the watch, in order. Blocks on the disk.
    pub fn files(&self) -> Vec<PathBuf> {
        rules::files(&self.rules)
    }
}
