//! What the config says, made ready for use; replaced whole when `rhaid.yaml` changes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Level};
use crate::secrets::Mask;
use crate::services::Services;
use crate::triggers::Surroundings;

/// What the config says, made ready for use.
pub(crate) struct Settings {
    /// As it was read.
    pub(crate) config: Arc<Config>,
    /// Hides its secrets.
    pub(crate) mask: Mask,
    /// What triggers may need to know.
    pub(crate) surroundings: Surroundings,
    /// The scripts folder, absolute.
    pub(crate) folder: PathBuf,
}

impl Settings {
    pub(crate) fn new(config: Arc<Config>, services: &Services) -> Arc<Self> {
        let folder = std::path::absolute(&config.scripts).unwrap_or_else(|_| config.scripts.clone());
        let base = folder.parent().unwrap_or(&folder).to_owned();
        Arc::new(Self {
            mask: config.mask(),
            surroundings: Surroundings { zone: services.clock.zone(), location: config.location, base },
            folder,
            config,
        })
    }

    /// Returns how loud a script may be.
    pub(crate) fn level(&self, script: &str) -> Level {
        let of_its_own = self.config.log.scripts.iter().rev().find(|(pattern, _)| pattern.is_match(script));
        of_its_own.map_or(self.config.log.level, |(_, level)| *level)
    }
}
