//! Comparison of files by stamp and content.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

/// Maximum size of a file whose content is compared, in bytes; of larger ones the stamp is compared.
const MAX_COMPARED: u64 = 1 << 20;

/// Metadata that change with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    pub(super) len: u64,
    node: (u64, u64),
    pub(super) is_linked: bool,
}

/// The content of a file at the last comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Not read yet.
    Unread,
    Hash(u64),
    /// Too large or not readable: only the stamp is compared.
    Opaque,
}

impl FileStamp {
    pub(super) fn new(metadata: &Metadata, is_linked: bool) -> Self {
        #[cfg(unix)]
        let node = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let node = (0, 0);
        Self { modified: metadata.modified().ok(), len: metadata.len(), node, is_linked }
    }
}

/// Reads a file for comparison, and returns its stamp at that time. Does not block on a fifo.
pub(super) fn read(path: &Path) -> Option<(FileStamp, Content)> {
    let is_linked = fs::symlink_metadata(path).ok()?.is_symlink();
    let Ok(mut file) = open(path) else {
        let metadata = fs::metadata(path).ok()?;
        return Some((FileStamp::new(&metadata, is_linked), Content::Opaque));
    };
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    let stamp = FileStamp::new(&metadata, is_linked);
    let content = if metadata.len() > MAX_COMPARED { None } else { hash(&mut file) };
    let after = FileStamp::new(&file.metadata().ok()?, is_linked);
    Some((stamp, content.filter(|_| stamp == after).map_or(Content::Opaque, Content::Hash)))
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // The path may have been replaced by a fifo.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, O_NONBLOCK);
    options.open(path)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const O_NONBLOCK: i32 = 4;

fn hash(file: &mut File) -> Option<u64> {
    let (mut hasher, mut buffer) = (DefaultHasher::new(), [0; 16 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(hasher.finish()),
            Ok(read) => hasher.write(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
