//! Atomic replacement of files: readers see the old or the new content.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Creates a temporary file beside `path`, with the permissions of `path`; `persist` moves it to `path`, and dropping it deletes it.
///
/// # Errors
/// If the folder does not exist or is not writable, or `path` is not a regular file.
pub fn replacement(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    if !folder.is_dir() {
        return Err(Error::new(ErrorKind::NotFound, "its folder does not exist: create it first"));
    }
    let before = fs::metadata(path).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(Error::other("is not a regular file"));
    }
    let rights = before.map_or_else(|| Permissions::from_mode(0o666), |before| before.permissions());
    tempfile::Builder::new().prefix(".rhaid-").permissions(rights).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_replacement_has_the_permissions_of_the_old_file_and_is_deleted_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        drop(replacement(&path).unwrap());
        let mut new = replacement(&path).unwrap();
        new.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        new.persist(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_and_files_in_missing_folders_cannot_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(replacement(folder.path()).unwrap_err().to_string(), "is not a regular file");
        let nowhere = replacement(&folder.path().join("none/a")).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
        assert!(nowhere.to_string().contains("create it first"), "{nowhere}");
    }
}
