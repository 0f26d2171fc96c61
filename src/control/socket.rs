//! Where the socket lies.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const SOCKET: &str = "control.sock";
const NOTE: &str = "control.path";

/// The longest path that a socket can have everywhere.
///
/// Source: `sun_path` of `struct sockaddr_un` has 108 bytes on Linux (unix(7)) and 104 on macOS, its final NUL included.
const LONGEST: usize = 100;

/// Returns where the server of a data folder listens. A path that is too long for a socket is replaced by a short one
/// in a private folder elsewhere, which is noted in the data folder.
pub(super) fn choose(data: &Path) -> io::Result<PathBuf> {
    let note = data.join(NOTE);
    let direct = std::path::absolute(data)?.join(SOCKET);
    if direct.as_os_str().len() <= LONGEST {
        remove_if_there(&note)?;
        return Ok(direct);
    }
    let mut hasher = DefaultHasher::new();
    direct.hash(&mut hasher);
    let short = private_folder()?.join(format!("{:016x}.sock", hasher.finish()));
    std::fs::write(&note, short.as_os_str().as_encoded_bytes())?;
    Ok(short)
}

/// Returns where the server of a data folder can be found, if one runs.
pub(super) fn find(data: &Path) -> PathBuf {
    match std::fs::read_to_string(data.join(NOTE)) {
        Ok(short) => PathBuf::from(short),
        Err(_) => data.join(SOCKET),
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove_if_there(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns a folder with a short path that only this user can enter.
fn private_folder() -> io::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && folder.as_os_str().len() < LONGEST - 32
        && folder.is_dir()
    {
        return Ok(folder);
    }
    // `mkdtemp` makes a new folder with mode 0700, so that no other user can have put one there before us.
    let folder = tempfile::Builder::new().prefix("rhaid-").tempdir_in("/tmp")?.keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_data_folder_gets_a_short_socket_that_can_be_found() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("x".repeat(120));
        std::fs::create_dir(&data).unwrap();
        let chosen = choose(&data).unwrap();
        assert!(chosen.as_os_str().len() <= LONGEST, "{}", chosen.display());
        assert_eq!(find(&data), chosen);
        assert!(std::os::unix::net::UnixListener::bind(&chosen).is_ok());
        std::fs::remove_file(&chosen).unwrap();
    }

    #[test]
    fn a_short_data_folder_holds_the_socket_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(choose(folder.path()).unwrap(), folder.path().join(SOCKET));
        assert_eq!(find(folder.path()), folder.path().join(SOCKET));
    }
}
