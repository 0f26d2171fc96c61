//! The data folder: private, and held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::services::store::Error;

const FILE: &str = "rhaid.lock";

/// A data folder held by this process; given back when dropped, by the operating system if need be.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a program that is being started has a copy of it until it runs.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the data folder is given back when the process ends");
        }
    }
}

impl Lock {
    /// Makes the folder if it is not there, and holds it.
    ///
    /// # Errors
    /// [`Error::InUse`] if another holds it.
    pub(super) fn hold(folder: &Path) -> Result<Self, Error> {
        let failed = |doing: &str, error: io::Error| {
            Error::Failed(format!("the data folder {} can not be {doing}: {error}", folder.display()))
        };
        make_private(folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Failed(format!(
                "the data folder {} is a file: move it away, or set `data` in rhaid.yaml",
                folder.display()
            )),
            _ => failed("made", error),
        })?;
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(folder.join(FILE))
            .map_err(|error| failed("written", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Some systems let nobody else read a locked file.
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
        // The number is for people: a full disk is no reason to refuse the folder.
        if let Err(error) = written {
            tracing::debug!(%error, "the lock file does not say who holds it");
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

/// Makes a file that is created readable by its owner only.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
