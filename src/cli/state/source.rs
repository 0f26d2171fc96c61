//! Access to stored state: through the running rhaid, or directly in the store.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::anyhow;
use serde_json::Value as Json;

use crate::api::{Request, StateSpace};
use crate::control::{Connection, NotRunning};
use crate::options::nearest;
use crate::services::store::{StateEdit, Store};
use crate::value::Value;

/// The running rhaid, or the store if none is running.
pub(super) enum StateSource {
    Running(Connection),
    Store(Store),
    /// The data folder does not exist.
    Missing,
}

impl StateSource {
    /// Opens the source; does not create the data folder.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        if data.is_dir() { Self::open_or_create(data) } else { Ok(Self::Missing) }
    }

    /// Opens the source; creates the data folder if it is missing.
    pub(super) fn open_or_create(data: &Path) -> anyhow::Result<Self> {
        match Connection::open(data) {
            Ok(running) => Ok(Self::Running(running)),
            Err(error) if error.is::<NotRunning>() => Ok(Self::Store(Store::open(data)?)),
            Err(error) => Err(error),
        }
    }

    /// Returns the namespaces that contain values.
    pub(super) fn namespaces(&mut self) -> anyhow::Result<Vec<StateSpace>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateSpaces),
            Self::Store(store) => Ok(store.namespaces()?.into_iter().map(StateSpace::from).collect()),
            Self::Missing => Ok(Vec::new()),
        }
    }

    /// Returns the values of a namespace in their stored form.
    pub(super) fn values(&mut self, namespace: &str) -> anyhow::Result<BTreeMap<String, Json>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateValues { space: namespace.to_owned() }),
            Self::Store(store) => {
                Ok(store.values(namespace)?.into_iter().map(|(key, value)| (key, value.to_stored())).collect())
            }
            Self::Missing => Ok(BTreeMap::new()),
        }
    }

    /// Applies an edit in one transaction.
    pub(super) fn edit(&mut self, edit: StateEdit) -> anyhow::Result<()> {
        match self {
            Self::Running(running) => {
                let stored = |(namespace, key, value): (_, _, Value)| (namespace, key, value.to_stored());
                let values = edit.values.into_iter().map(stored).collect();
                running.ask(&Request::StateEdit { cleared: edit.cleared, values })
            }
            Self::Store(store) => Ok(store.edit(&edit)?),
            Self::Missing => Ok(()),
        }
    }

    /// Returns the values of a namespace.
    ///
    /// # Errors
    /// If the namespace contains no values.
    pub(super) fn existing_values(&mut self, namespace: &str) -> anyhow::Result<BTreeMap<String, Json>> {
        let values = self.values(&stored_name(namespace))?;
        if !values.is_empty() {
            return Ok(values);
        }
        let namespaces = self.namespaces()?;
        let near = nearest(namespace, namespaces.iter().map(|known| display_name(&known.space)));
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        Err(anyhow!("`{namespace}` has no state{near}"))
    }
}

/// Returns the stored name of a namespace.
pub(super) fn stored_name(namespace: &str) -> String {
    let is_full = namespace.starts_with("shared:") || namespace.starts_with("script:");
    if is_full { namespace.to_owned() } else { format!("script:{namespace}") }
}

/// Returns the name of a namespace on the command line.
pub(super) fn display_name(namespace: &str) -> &str {
    namespace.strip_prefix("script:").unwrap_or(namespace)
}
