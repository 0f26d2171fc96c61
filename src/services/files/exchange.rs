//! Exchanging a file as a whole, so that who reads it sees the old or the new one.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Makes the file beside the one whose place it will take (with `persist`), with its rights; dropped before, it is gone.
///
/// # Errors
/// If the folder is not there or can not be written into, or something else than an ordinary file is in the place.
pub fn successor(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    if !folder.is_dir() {
        return Err(Error::new(ErrorKind::NotFound, "its folder is not there: make it first"));
    }
    let before = fs::metadata(path).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(Error::other("is no ordinary file"));
    }
    let rights = before.map_or_else(|| Permissions::from_mode(0o666), |before| before.permissions());
    tempfile::Builder::new().prefix(".rhaid-").permissions(rights).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_new_file_has_the_rights_of_the_old_one_and_leaves_nothing_if_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        drop(successor(&path).unwrap());
        let mut new = successor(&path).unwrap();
        new.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        new.persist(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_and_files_nowhere_have_no_successor() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(successor(folder.path()).unwrap_err().to_string(), "is no ordinary file");
        let nowhere = successor(&folder.path().join("none/a")).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
        assert!(nowhere.to_string().contains("make it first"), "{nowhere}");
    }
}
