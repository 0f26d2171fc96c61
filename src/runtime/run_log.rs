//! Log lines: to `tracing`, to subscribers, and to the run record.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use super::http_tap::HttpTap;
use super::repeat_filter::RepeatFilter;
use super::settings::Settings;
use crate::config::Level;
use crate::effect::Effect;
use crate::functions::RunLog;
use crate::functions::http::RecordedResponse;
use crate::services::clock::Clock;

/// `tracing` target of lines that are in the log store already.
pub const LOG_TARGET: &str = "script";
/// Number of recent lines that are kept.
const MAX_RECENT: usize = 1_000;
/// Number of lines that a slow subscriber may lag behind before it misses some.
const MAX_LAG: usize = 1_024;
/// Maximum number of effects in a run record.
const MAX_EFFECTS: usize = 200;
/// Maximum characters of one effect in a run record.
const MAX_EFFECT_LENGTH: usize = 1_000;

/// Log line.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// Time.
    pub at: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// Name of the script; empty for lines of rhaid itself.
    pub script: String,
    /// Identifier of the run; empty outside of runs.
    pub run: String,
    /// Message.
    pub text: String,
    /// Structured fields that the script added.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Recent log lines and their subscribers; cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    clock: Clock,
    recent: Arc<Mutex<VecDeque<Arc<LogLine>>>>,
    /// Maximum number of lines that are kept.
    capacity: usize,
    subscribe: broadcast::Sender<Arc<LogLine>>,
    repeat_filter: Arc<RepeatFilter>,
    http_tap: HttpTap,
}

impl LogStore {
    /// Creates an empty store.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            recent: Arc::default(),
            capacity: MAX_RECENT,
            subscribe: broadcast::channel(MAX_LAG).0,
            repeat_filter: Arc::default(),
            http_tap: HttpTap::default(),
        }
    }

    /// Creates a store that keeps all lines, for simulations.
    pub fn unbounded(clock: Clock) -> Self {
        Self { capacity: usize::MAX, ..Self::new(clock) }
    }

    /// Adds a line that was logged through `tracing`; lines with [`LOG_TARGET`] are in the store already.
    ///
    /// `script` and `run` are empty for lines outside of scripts.
    pub fn record(
        &self,
        level: Level,
        script: &str,
        run: &str,
        text: String,
        fields: serde_json::Map<String, serde_json::Value>,
    ) {
        let (level, script, run) = (level.word(), script.into(), run.into());
        let mut recent = self.recent.lock();
        // The time is read under the lock, so that times never decrease from one line to the next.
        let line = Arc::new(LogLine { at: self.clock.now(), level, script, run, text, fields });
        if recent.len() == self.capacity {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        drop(recent);
        // An error means that there is no subscriber.
        let _ = self.subscribe.send(line);
    }

    /// Logs a line of rhaid itself, about a script or about no script (`""`).
    pub(crate) fn write(&self, level: Level, script: &str, text: impl Into<String>) {
        self.put(level, script, "", text.into(), serde_json::Map::new());
    }

    /// Returns the recent lines, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<LogLine>> {
        self.recent.lock().iter().cloned().collect()
    }

    /// Returns the tap of HTTP responses.
    pub(crate) fn http_tap(&self) -> &HttpTap {
        &self.http_tap
    }

    /// Subscribes to all lines from now on; a slow subscriber misses lines and receives their number.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.subscribe.subscribe()
    }

    fn put(
        &self,
        level: Level,
        script: &str,
        run: &str,
        text: String,
        fields: serde_json::Map<String, serde_json::Value>,
    ) {
        if level != Level::Off {
            trace(level, script, run, &text, &fields);
            self.record(level, script, run, text, fields);
        }
    }
}

fn trace(level: Level, script: &str, run: &str, text: &str, fields: &serde_json::Map<String, serde_json::Value>) {
    let fields = (!fields.is_empty()).then(|| serde_json::Value::Object(fields.clone()).to_string());
    let (script, run) = ((!script.is_empty()).then_some(script), (!run.is_empty()).then_some(run));
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(target: LOG_TARGET, $level, script, run, fields, "{text}")
        };
    }
    match level {
        Level::Off => {}
        Level::Error => event!(tracing::Level::ERROR),
        Level::Warn => event!(tracing::Level::WARN),
        Level::Info => event!(tracing::Level::INFO),
        Level::Debug => event!(tracing::Level::DEBUG),
        Level::Trace => event!(tracing::Level::TRACE),
    }
}

/// Effects of a run, up to [`MAX_EFFECTS`].
#[derive(Default)]
struct Effects {
    kept: Vec<Effect>,
    dropped: usize,
}

/// Records the log lines and effects of one run.
pub(crate) struct RunRecorder {
    script: Arc<str>,
    run: String,
    level: Level,
    settings: Arc<Settings>,
    log: LogStore,
    started: Instant,
    /// Time of the event.
    triggered_at: Timestamp,
    effects: Mutex<Effects>,
}

impl RunRecorder {
    pub(crate) fn new(
        script: Arc<str>,
        run: String,
        settings: Arc<Settings>,
        log: LogStore,
        triggered_at: Timestamp,
    ) -> Self {
        let level = settings.level(&script);
        Self { script, run, level, settings, log, started: Instant::now(), triggered_at, effects: Mutex::default() }
    }

    /// Logs the failure of the run, unless the same failure is suppressed as a repetition.
    pub(crate) fn report(&self, report: String) {
        if Level::Error > self.level {
            return;
        }
        if let Some(report) = self.log.repeat_filter.filter(&self.script, report, self.log.clock.now()) {
            self.log.put(Level::Error, &self.script, &self.run, report, serde_json::Map::new());
        }
    }

    /// Takes the effects and log lines of the run, in order.
    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        let Effects { mut kept, dropped } = std::mem::take(&mut *self.effects.lock());
        if dropped > 0 {
            kept.push(Effect { after: self.started.elapsed(), ..Effect::new("…", format!("and {dropped} more")) });
        }
        kept
    }

    fn record(&self, mut effect: Effect) {
        let mut effects = self.effects.lock();
        if effects.kept.len() == MAX_EFFECTS {
            effects.dropped += 1;
            return;
        }
        effect.after = self.started.elapsed().saturating_sub(effect.took);
        for text in [&mut effect.details, &mut effect.result, &mut effect.fault] {
            *text = shorten(self.settings.mask.apply(text).into_owned(), MAX_EFFECT_LENGTH);
        }
        effects.kept.push(effect);
    }

    fn mask_fields(
        &self,
        fields: &serde_json::Map<String, serde_json::Value>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let text = serde_json::Value::Object(fields.clone()).to_string();
        match self.settings.mask.apply(&text) {
            std::borrow::Cow::Borrowed(_) => fields.clone(),
            std::borrow::Cow::Owned(masked) => serde_json::from_str(&masked).unwrap_or_default(),
        }
    }
}

impl RunLog for RunRecorder {
    fn log_line(&self, level: Level, text: &str, fields: &serde_json::Map<String, serde_json::Value>) {
        let text = self.settings.mask.apply(text).into_owned();
        let fields = self.mask_fields(fields);
        self.record(Effect::new(level.word(), with_fields(&text, &fields)));
        if level <= self.level {
            self.log.put(level, &self.script, &self.run, text, fields);
        }
    }

    fn record_effect(&self, effect: Effect) {
        self.record(effect);
    }

    fn record_response(&self, answer: &dyn Fn() -> RecordedResponse) {
        let time_of = |recorded: &RecordedResponse| {
            let after = recorded.began.saturating_duration_since(self.started);
            self.triggered_at.checked_add(after).unwrap_or(self.triggered_at)
        };
        self.log.http_tap.send(answer, time_of);
    }
}

/// Returns a log message with its fields appended.
fn with_fields(text: &str, fields: &serde_json::Map<String, serde_json::Value>) -> String {
    fields.iter().fold(text.to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
}

/// Truncates text to a number of characters and appends an ellipsis.
pub(crate) fn shorten(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
