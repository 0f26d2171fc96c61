//! Settings derived from the configuration; replaced as a whole when `rhaid.yaml` changes.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::{Config, Level};
use crate::secrets::Mask;
use crate::services::Services;
use crate::services::store::RetentionPolicy;
use crate::triggers::TriggerContext;

/// Settings derived from the configuration.
pub(crate) struct Settings {
    /// The configuration.
    pub(crate) config: Arc<Config>,
    /// Mask of its secrets.
    pub(crate) mask: Mask,
    /// Context for reading triggers.
    pub(crate) trigger_context: TriggerContext,
    /// Absolute path of the scripts folder.
    pub(crate) folder: PathBuf,
    /// Services, with the clock in the configured time zone.
    pub(crate) services: Arc<Services>,
}

impl Settings {
    pub(crate) fn new(config: Arc<Config>, services: &Services) -> Arc<Self> {
        let folder = std::path::absolute(&config.scripts).unwrap_or_else(|_| config.scripts.clone());
        let base = folder.parent().unwrap_or(&folder).to_owned();
        let zone = config.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let zone = zone.unwrap_or_else(|| services.clock.zone());
        let services = Arc::new(Services { clock: services.clock.in_zone(zone.clone()), ..services.clone() });
        Arc::new(Self {
            mask: config.mask(),
            trigger_context: TriggerContext { zone, location: config.location, brokers: config.mqtt.names(), base },
            folder,
            services,
            config,
        })
    }

    /// Returns whether clock times and sun times are the same under other settings.
    pub(crate) fn has_same_times(&self, other: &Self) -> bool {
        let (here, there) = (&self.trigger_context, &other.trigger_context);
        here.zone == there.zone && here.location == there.location
    }

    /// Returns the retention policy of the run history.
    pub(crate) fn retention(&self) -> RetentionPolicy {
        let history = &self.config.history;
        RetentionPolicy { rows: history.rows, bytes: history.disk, age: history.age }
    }

    /// Returns the log level of a script.
    pub(crate) fn level(&self, script: &str) -> Level {
        let of_its_own = self.config.log.scripts.iter().rev().find(|(pattern, _)| pattern.is_match(script));
        of_its_own.map_or(self.config.log.level, |(_, level)| *level)
    }
}
