//! The effects of a local run.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};

use crate::config::{Config, Level};
use crate::effect::{Effect, RawEffect};
use crate::functions::RunLog;

/// Run log that collects the effects and log lines of a run.
pub(super) struct EffectLog {
    config: Arc<Config>,
    started: Instant,
    effects: Mutex<Vec<Effect>>,
}

impl EffectLog {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        Self { config: config.clone(), started: Instant::now(), effects: Mutex::default() }
    }

    /// Takes the effects.
    pub(super) fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut *self.effects.lock())
    }
}

impl RunLog for EffectLog {
    fn log_line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        let text = fields.iter().fold(text.to_owned(), |text, (name, value)| format!("{text} {name}={value}"));
        self.record_effect(RawEffect::new(level.word(), text));
    }

    fn record_effect(&self, effect: RawEffect) {
        let mask = self.config.mask();
        let mut effect = effect.into_effect(self.started);
        effect.details = mask.apply(&effect.details).into_owned();
        effect.fault = mask.apply(&effect.fault).into_owned();
        self.effects.lock().push(effect);
    }
}
