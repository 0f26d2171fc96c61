//! State of the supervisor, and the reasons for which it acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::runtime::dispatcher::Dispatcher;
use crate::runtime::listing::script_name;
use crate::runtime::punctuality::PunctualityTracker;
use crate::runtime::registry::Registry;
use crate::runtime::run_log::LogStore;
use crate::runtime::settings::Settings;
use crate::services::Services;

/// Names of the scripts that may be activated, shared with the caller.
pub type ScriptSelection = Arc<Mutex<BTreeSet<String>>>;

/// Supervisor of all scripts.
pub(crate) struct Supervisor {
    pub(super) services: Services,
    pub(super) log: LogStore,
    pub(super) dispatcher: Dispatcher,
    pub(super) settings: watch::Sender<Arc<Settings>>,
    pub(super) punctuality: Arc<PunctualityTracker>,
    pub(super) registry: Registry,
    pub(super) last_queue: u64,
    pub(super) last_trigger: u64,
    /// Shutdown tasks, by script.
    pub(super) retiring: BTreeMap<String, JoinHandle<()>>,
    /// Whether the last listing of the scripts folder failed.
    pub(super) is_folder_missing: bool,
    /// Scripts that may be activated; `None`: all.
    pub(super) selected: Option<ScriptSelection>,
}

impl Supervisor {
    pub(crate) fn new(
        services: Services,
        log: LogStore,
        dispatcher: Dispatcher,
        settings: watch::Sender<Arc<Settings>>,
        punctuality: Arc<PunctualityTracker>,
        selected: Option<ScriptSelection>,
    ) -> Self {
        Self {
            services,
            log,
            dispatcher,
            settings,
            punctuality,
            registry: Registry::new(),
            last_queue: 0,
            last_trigger: 0,
            retiring: BTreeMap::new(),
            is_folder_missing: false,
            selected,
        }
    }

    /// Returns whether a script may be activated.
    pub(super) fn is_selected(&self, name: &str) -> bool {
        let contains = |selected: &ScriptSelection| selected.lock().contains(name);
        self.selected.as_ref().is_none_or(contains)
    }
}

/// Reason for which the active scripts may differ from the scripts folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyncReason {
    /// No script is active yet.
    Boot,
    /// Files or folders with these names changed, relative to the scripts folder.
    FilesChanged(BTreeSet<String>),
    /// Any file may have changed.
    Everything,
    /// The configuration changed: these scripts are loaded again in any case.
    Config(BTreeSet<String>),
    /// A script was enabled.
    Enabled(String),
}

impl SyncReason {
    /// Returns the value of `start.reason`.
    pub(super) fn start_reason(&self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Enabled(_) => "enabled",
            _ => "reload",
        }
    }

    /// Returns whether a file may have changed.
    pub(super) fn touches(&self, file: &str) -> bool {
        match self {
            Self::FilesChanged(changed) => {
                let is_above =
                    |folder: &String| file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
                changed.contains(file) || changed.iter().any(is_above)
            }
            Self::Config(names) => names.contains(script_name(file)),
            Self::Enabled(name) => name == script_name(file),
            Self::Boot | Self::Everything => true,
        }
    }

    /// Returns whether a script is replaced even if its files did not change.
    pub(super) fn forces(&self, name: &str) -> bool {
        matches!(self, Self::Config(names) if names.contains(name))
    }
}

/// Reason for which a script stops, as in `stop.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Its file was deleted.
    Removed,
    /// It was disabled manually.
    Disabled,
    /// `permissions:` no longer allow its declarations.
    Denied,
    /// The process is stopping.
    Stopping,
}

impl StopReason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Disabled => "disabled",
            Self::Denied => "denied",
            Self::Stopping => "stopping",
        }
    }
}

/// Returns the metadata key that marks a script as disabled.
pub(super) fn disabled_key(script: &str) -> String {
    format!("disabled:{script}")
}
