//! Applies edits of rhaid.yaml while everything runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::cli::log::Filter;
use crate::cli::settings::{self, Globals};
use crate::config::Difference;
use crate::runtime::Runtime;
use crate::services::Services;

/// Watches rhaid.yaml until it is dropped.
pub(super) struct Watch {
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Watches from now on, also for a file that is not there yet.
    pub(super) fn start(globals: Globals, services: &Services, runtime: &Runtime, filter: Filter) -> Self {
        let file = runtime.config().file.clone().unwrap_or_else(|| beside(&runtime.config().scripts));
        let file = std::path::absolute(&file).unwrap_or(file);
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        let wanted = file.clone();
        let mut watch = services.files.watch(&folder, move |path| path != wanted);
        let edits = Edits { globals, file, runtime: runtime.clone(), filter };
        let task = tokio::spawn(async move {
            while watch.changes.recv().await.is_some() {
                edits.apply().await;
            }
        });
        Self { _task: AbortOnDropHandle::new(task) }
    }
}

struct Edits {
    globals: Globals,
    file: PathBuf,
    runtime: Runtime,
    filter: Filter,
}

impl Edits {
    async fn apply(&self) {
        let loaded = match settings::read(&self.globals, Some(self.file.as_path()).filter(|file| file.exists())) {
            Ok(loaded) => loaded,
            Err(faults) => return kept(&settings::reports(&faults)),
        };
        loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
        let config = Arc::new(loaded.config);
        match self.runtime.apply(Arc::clone(&config)).await {
            Ok(difference) => {
                self.filter.apply(&config);
                told(&difference);
            }
            Err(faults) => kept(&settings::reports(&faults)),
        }
    }
}

fn kept(reports: &str) {
    error!("rhaid.yaml was changed, but not applied:\n{reports}");
}

fn told(difference: &Difference) {
    if !difference.applied.is_empty() {
        info!("rhaid.yaml was changed: {} applied", difference.applied.join(", "));
    }
    if !difference.restart.is_empty() {
        warn!("rhaid.yaml was changed: {} will count after a restart", difference.restart.join(", "));
    }
}

fn beside(scripts: &Path) -> PathBuf {
    scripts.parent().unwrap_or(Path::new(".")).join(settings::FILE)
}
