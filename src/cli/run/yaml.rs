//! Applies edits of rhaid.yaml at run time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::cli::log::LogFilter;
use crate::cli::settings::{self, Globals};
use crate::config::{Config, Difference};
use crate::fault;
use crate::runtime::Runtime;
use crate::services::files::{Files, FolderWatch};

/// Watches rhaid.yaml, which need not exist yet.
pub(super) struct Watch {
    file: PathBuf,
    folder: FolderWatch,
}

impl Watch {
    /// Starts watching. Must be called inside the tokio runtime.
    pub(super) fn start(config: &Config, files: &Files) -> Self {
        let file = config.file.clone().unwrap_or_else(|| default_file(&config.scripts));
        let file = std::path::absolute(&file).unwrap_or(file);
        let wanted = file.clone();
        let folder = files.watch(file.parent().unwrap_or(Path::new(".")), move |path| path != wanted);
        Self { file, folder }
    }

    /// Applies the edits until the returned handle is dropped.
    pub(super) fn apply(mut self, globals: Globals, runtime: Runtime, filter: LogFilter) -> AbortOnDropHandle<()> {
        let edits = Edits { globals, file: self.file, runtime, filter };
        AbortOnDropHandle::new(tokio::spawn(async move {
            while self.folder.changes.recv().await.is_some() {
                edits.apply().await;
            }
        }))
    }
}

/// Applies the configuration after an edit.
struct Edits {
    globals: Globals,
    file: PathBuf,
    runtime: Runtime,
    filter: LogFilter,
}

impl Edits {
    async fn apply(&self) {
        let loaded = match settings::read(
            &self.globals,
            Some(self.file.as_path()).filter(|file| file.symlink_metadata().is_ok()),
        ) {
            Ok(loaded) => loaded,
            Err(faults) => return log_rejected(&fault::reports(&faults)),
        };
        loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
        let config = Arc::new(loaded.config);
        match self.runtime.apply(Arc::clone(&config)).await {
            Ok(difference) => {
                self.filter.apply(&config);
                log_applied(&difference);
            }
            Err(faults) => log_rejected(&fault::reports(&faults)),
        }
    }
}

fn log_rejected(reports: &str) {
    error!("rhaid.yaml was changed, but not applied:\n{reports}");
}

fn log_applied(difference: &Difference) {
    if !difference.applied.is_empty() {
        info!("rhaid.yaml was changed: {} applied", difference.applied.join(", "));
    }
    if !difference.restart.is_empty() {
        warn!("rhaid.yaml was changed: {} needs a restart", difference.restart.join(", "));
    }
}

fn default_file(scripts: &Path) -> PathBuf {
    scripts.parent().unwrap_or(Path::new(".")).join(settings::FILE)
}
