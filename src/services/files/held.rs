//! Files of a held world: they lie in a folder of its own, and change when it is said so.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::services::files::hub::Hub;
use crate::services::files::tree::Rules;
use crate::services::files::{Change, ChangeKind, Files};

/// Where files lie, and who watches which.
pub(super) struct Held {
    folder: PathBuf,
    watches: Mutex<Vec<Watcher>>,
}

/// Which files someone watches, and where changes go.
type Watcher = (Arc<Rules>, mpsc::Sender<Vec<Change>>);

impl Held {
    pub(super) fn watch(&self, rules: Arc<Rules>, deliver: mpsc::Sender<Vec<Change>>) {
        self.watches.lock().push((rules, deliver));
    }
}

impl Files {
    /// Lets every path lead below a folder, as if that was the whole file system.
    pub fn held(folder: &Path) -> Self {
        let held = Held { folder: folder.to_owned(), watches: Mutex::default() };
        Self(Arc::new(Hub::default()), Some(Arc::new(held)))
    }

    /// Returns where a path leads.
    pub fn place(&self, path: PathBuf) -> PathBuf {
        let Some(held) = &self.1 else { return path };
        let below = path.components().filter(|part| matches!(part, Component::Normal(_)));
        below.fold(held.folder.clone(), |place, part| place.join(part))
    }

    /// Writes a file of a held world, or removes it, and tells who watches it.
    ///
    /// # Errors
    /// If that can not be done.
    pub fn change(&self, path: &Path, content: Option<&[u8]>) -> std::io::Result<()> {
        let Some(held) = &self.1 else { return Ok(()) };
        let place = self.place(path.to_owned());
        let was_there = place.exists();
        let kind = match content {
            None => {
                std::fs::remove_file(&place)?;
                ChangeKind::Removed
            }
            Some(content) => {
                if let Some(parent) = place.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(&place, content)?;
                if was_there { ChangeKind::Modified } else { ChangeKind::Created }
            }
        };
        let mut watches = held.watches.lock();
        watches.retain(|(_, deliver)| !deliver.is_closed());
        for (_, deliver) in watches.iter().filter(|(rules, _)| path.starts_with(&rules.root)) {
            // Who has not taken up the last changes has not been waited for.
            let _ = deliver.try_send(vec![Change { path: path.to_owned(), kind }]);
        }
        Ok(())
    }
}
