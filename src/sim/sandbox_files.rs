//! Files of a sandbox: a folder of its own, changed only by [`SandboxFiles::change`].

use std::path::{Component, Path, PathBuf};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::services::files::{Change, ChangeKind, VirtualFiles};

/// The folder, and the watches in it.
pub(super) struct SandboxFiles {
    folder: PathBuf,
    watches: Mutex<Vec<Watcher>>,
}

/// The folder of a watch, and where its changes are sent.
type Watcher = (PathBuf, mpsc::Sender<Vec<Change>>);

impl SandboxFiles {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), watches: Mutex::default() }
    }

    /// Writes or removes a file, and notifies its watches.
    pub(super) fn change(&self, path: &Path, content: Option<&[u8]>) -> std::io::Result<()> {
        let actual = self.resolve(path);
        let existed = actual.exists();
        let kind = match content {
            None => {
                std::fs::remove_file(&actual)?;
                ChangeKind::Removed
            }
            Some(content) => {
                if let Some(parent) = actual.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(&actual, content)?;
                if existed { ChangeKind::Modified } else { ChangeKind::Created }
            }
        };
        let mut watches = self.watches.lock();
        watches.retain(|(_, deliver)| !deliver.is_closed());
        for (_, deliver) in watches.iter().filter(|(root, _)| path.starts_with(root)) {
            // A full channel means that the receiver was not waited for; the change is dropped.
            let _ = deliver.try_send(vec![Change { path: path.to_owned(), kind }]);
        }
        Ok(())
    }
}

impl VirtualFiles for SandboxFiles {
    fn resolve(&self, path: &Path) -> PathBuf {
        let below = path.components().filter(|part| matches!(part, Component::Normal(_)));
        below.fold(self.folder.clone(), |path, part| path.join(part))
    }

    fn watch(&self, root: &Path, deliver: mpsc::Sender<Vec<Change>>) {
        self.watches.lock().push((root.to_owned(), deliver));
    }
}
