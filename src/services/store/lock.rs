//! Lock of the data folder: private permissions, and one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::services::store::error::Error;

const FILE: &str = "rhaid.lock";

/// Lock of a data folder. Released when dropped, or by the operating system when the process ends.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process between fork and exec holds a copy of the descriptor.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the data folder stays locked until the process ends");
        }
    }
}

impl Lock {
    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds the lock.
    pub(super) fn acquire(folder: &Path) -> Result<Self, Error> {
        let failed = |done: &str, error: io::Error| {
            Error::Failed(format!("the data folder {} cannot be {done}: {error}", folder.display()))
        };
        make_private(folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Failed(format!(
                "the data folder {} is a file: move it away, or set `data` in rhaid.yaml",
                folder.display()
            )),
            _ => failed("created", error),
        })?;
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(folder.join(FILE))
            .map_err(|error| failed("written", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Some systems refuse to read a file that another process has locked.
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "unknown".into() } else { holder.trim().into() };
                return Err(Error::InUse { folder: folder.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed("locked", error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .and_then(|()| file.flush());
        // The process id serves error messages only, so a full disk does not prevent the start.
        if let Err(error) = written {
            tracing::debug!(%error, "the process id was not written to the lock file");
        }
        Ok(Self { file })
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Restricts a file that is created to its owner.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
