//! Access to the text of script files.

use std::sync::Arc;

/// The files that scripts are loaded from: the scripts folder, or an accepted snapshot of it.
pub trait Sources: Send + Sync {
    /// Returns the text of a file. Its name is relative to the scripts folder, with `/` as the separator.
    ///
    /// # Errors
    /// A message if the file does not exist, is outside the folder, is too large, or is not valid UTF-8.
    fn read(&self, file: &str) -> Result<Arc<str>, String>;
}
