//! Path of the control socket.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const SOCKET: &str = "control.sock";
/// File in the data folder with the path of a socket outside it.
const PATH_FILE: &str = "control.path";

/// The longest socket path that all platforms accept, in bytes.
///
/// Source: `sun_path` of `struct sockaddr_un` has 108 bytes on Linux (unix(7)) and 104 on macOS, its final NUL included.
const MAX_PATH_BYTES: usize = 100;

/// Returns the path at which the server of a data folder listens. A path that is too long for a socket is replaced by a short one
/// in a private folder elsewhere, which is written to a file in the data folder.
pub(super) fn choose(data: &Path) -> io::Result<PathBuf> {
    let path_file = data.join(PATH_FILE);
    let direct = std::path::absolute(data)?.join(SOCKET);
    if direct.as_os_str().len() <= MAX_PATH_BYTES {
        remove_if_exists(&path_file)?;
        return Ok(direct);
    }
    let mut hasher = DefaultHasher::new();
    direct.hash(&mut hasher);
    let short = private_folder()?.join(format!("{:016x}.sock", hasher.finish()));
    std::fs::write(&path_file, short.as_os_str().as_encoded_bytes())?;
    Ok(short)
}

/// Returns the path at which a server of a data folder listens, if one runs.
pub(super) fn find(data: &Path) -> PathBuf {
    match std::fs::read_to_string(data.join(PATH_FILE)) {
        Ok(short) => PathBuf::from(short),
        Err(_) => data.join(SOCKET),
    }
}

/// Removes a file if it exists.
pub(super) fn remove_if_exists(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns a folder with a short path that only this user can access.
fn private_folder() -> io::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && folder.as_os_str().len() < MAX_PATH_BYTES - 32
        && folder.is_dir()
    {
        return Ok(folder);
    }
    // `mkdtemp` creates a new folder with mode 0700, so that another user cannot have created it before.
    let folder = tempfile::Builder::new().prefix("rhaid-").tempdir_in("/tmp")?.keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_data_folder_gets_a_short_socket_path() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("x".repeat(120));
        std::fs::create_dir(&data).unwrap();
        let chosen = choose(&data).unwrap();
        assert!(chosen.as_os_str().len() <= MAX_PATH_BYTES, "{}", chosen.display());
        assert_eq!(find(&data), chosen);
        assert!(std::os::unix::net::UnixListener::bind(&chosen).is_ok());
        std::fs::remove_file(&chosen).unwrap();
    }

    #[test]
    fn a_short_data_folder_contains_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(choose(folder.path()).unwrap(), folder.path().join(SOCKET));
        assert_eq!(find(folder.path()), folder.path().join(SOCKET));
    }
}
