//! Changes of files.

use std::path::PathBuf;

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The file is new.
    Created,
    /// The content is different.
    Modified,
    /// The file does not exist any more.
    Removed,
}

/// A settled change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The absolute path of the file.
    pub path: PathBuf,
    /// The kind of the change.
    pub kind: ChangeKind,
}
