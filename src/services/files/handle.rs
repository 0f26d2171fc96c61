//! The handle on watched files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::services::files::change::Change;
use crate::services::files::rules::{self, WatchRules};
use crate::services::files::sandbox::SandboxFiles;
use crate::services::files::system_watcher::SystemWatcher;
use crate::services::files::watch::{self, Watch};

/// Maximum number of undelivered batches; further changes are combined into one more batch.
const MAX_BATCHES: usize = 16;

/// Watched files; cheap to clone.
#[derive(Clone, Default)]
pub struct Files {
    system: Arc<SystemWatcher>,
    sandbox: Option<Arc<SandboxFiles>>,
}

/// A watch of a folder; ends when its receiver is dropped.
pub struct FolderWatch {
    /// Batches of changes that settled together.
    pub changes: mpsc::Receiver<Vec<Change>>,
    rules: Arc<WatchRules>,
}

impl Files {
    /// Returns the files of a simulation: every path leads below `folder`, as if it was the root of the file system.
    pub fn sandboxed(folder: &Path) -> Self {
        Self { system: Arc::default(), sandbox: Some(Arc::new(SandboxFiles::new(folder))) }
    }

    /// Watches a folder and everything below it, also when it does not exist yet. Symlinks are followed without cycles.
    ///
    /// Existing files are no change; a change after this function returns is one. Only regular files count. `ignore` excludes absolute
    /// paths; an ignored folder is not scanned.
    ///
    /// Must be called within a tokio runtime. Blocks while it lists the folder.
    pub fn watch(&self, folder: &Path, ignore: impl Fn(&Path) -> bool + Send + Sync + 'static) -> FolderWatch {
        let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let rules = Arc::new(WatchRules::new(root, ignore));
        let (deliver, changes) = mpsc::channel(MAX_BATCHES);
        if let Some(sandbox) = &self.sandbox {
            sandbox.watch(Arc::clone(&rules), deliver);
            return FolderWatch { changes, rules };
        }
        let watch = Watch::start(Arc::clone(&self.system), Arc::clone(&rules));
        tokio::spawn(watch::run(watch, deliver));
        FolderWatch { changes, rules }
    }

    /// Returns the actual path of a file: in a simulation a path below its folder.
    pub fn resolve(&self, path: PathBuf) -> PathBuf {
        match &self.sandbox {
            Some(sandbox) => sandbox.resolve(&path),
            None => path,
        }
    }

    /// Writes or removes a file of a simulation, and notifies its watches; does nothing outside a simulation.
    ///
    /// # Errors
    /// If the file cannot be written or removed.
    pub fn change_sandbox_file(&self, path: &Path, content: Option<&[u8]>) -> std::io::Result<()> {
        self.sandbox.as_ref().map_or(Ok(()), |sandbox| sandbox.change(path, content))
    }

    /// Returns files without events, as on a file system that sends none.
    #[cfg(test)]
    pub(super) fn without_events() -> Self {
        Self { system: Arc::new(SystemWatcher::without_events()), sandbox: None }
    }
}

impl FolderWatch {
    /// Returns the regular files that exist now, by the rules of the watch, in order. Blocks on the disk.
    pub fn files(&self) -> Vec<PathBuf> {
        rules::files(&self.rules)
    }
}
