//! Error of the store.

/// Reason for which the store refused or failed an operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process holds the lock of the data folder.
    #[error(
        "{folder} is in use by another rhaid (process {holder}): stop that one, or give this one another folder with `data` in rhaid.yaml"
    )]
    InUse {
        /// The data folder.
        folder: String,
        /// Process id of the holder.
        holder: String,
    },
    /// The disk, the database or a check of the input failed.
    #[error("{0}")]
    Failed(String),
}
