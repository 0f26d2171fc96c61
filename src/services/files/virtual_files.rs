//! The interface of virtual files, which replace the file system in a simulation.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::services::files::change::Change;

/// Files in place of those of the file system.
pub trait VirtualFiles: Send + Sync {
    /// Returns the actual path of a file.
    fn resolve(&self, path: &Path) -> PathBuf;

    /// Sends the changes below a folder until the receiver is dropped.
    fn watch(&self, root: &Path, deliver: mpsc::Sender<Vec<Change>>);
}
