//! State namespaces as other processes see them.

use serde::{Deserialize, Serialize};

use crate::services::store::NamespaceSize;

/// A namespace of state that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSpace {
    /// `script:NAME` or `shared:NAMESPACE`.
    pub space: String,
    /// The number of values.
    pub values: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl From<NamespaceSize> for StateSpace {
    fn from(size: NamespaceSize) -> Self {
        Self { space: size.name, values: size.values, bytes: size.bytes }
    }
}
