//! Log lines: to `tracing`, to subscribers, and to the run record.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use super::http_tap::HttpTap;
use super::repeat_filter::RepeatFilter;
use super::settings::Settings;
use crate::config::Level;
use crate::effect::{Effect, RawEffect};
use crate::event::{Event, Id};
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
pub struct LogStore(Arc<Inner>);

struct Inner {
    clock: Clock,
    recent: Mutex<VecDeque<Arc<LogLine>>>,
    /// Maximum number of lines that are kept.
    capacity: usize,
    subscribe: broadcast::Sender<Arc<LogLine>>,
    repeat_filter: RepeatFilter,
    http_tap: HttpTap,
}

impl LogStore {
    /// Creates an empty store.
    pub fn new(clock: Clock) -> Self {
        Self::with_capacity(clock, MAX_RECENT)
    }

    /// Creates a store that keeps all lines, for simulations.
    pub fn unbounded(clock: Clock) -> Self {
        Self::with_capacity(clock, usize::MAX)
    }

    fn with_capacity(clock: Clock, capacity: usize) -> Self {
        Self(Arc::new(Inner {
            clock,
            recent: Mutex::default(),
            capacity,
            subscribe: broadcast::channel(MAX_LAG).0,
            repeat_filter: RepeatFilter::default(),
            http_tap: HttpTap::default(),
        }))
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
        let Inner { clock, recent, capacity, subscribe, .. } = &*self.0;
        let mut recent = recent.lock();
        // The time is read under the lock, so that times never decrease from one line to the next.
        let line = Arc::new(LogLine { at: clock.now(), level, script, run, text, fields });
        if recent.len() == *capacity {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        drop(recent);
        // An error means that there is no subscriber.
        let _ = subscribe.send(line);
    }

    /// Logs a line of rhaid itself, about a script or about no script (`""`).
    pub(crate) fn write(&self, level: Level, script: &str, text: impl Into<String>) {
        self.put(level, script, "", text.into(), serde_json::Map::new());
    }

    /// Returns the recent lines, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<LogLine>> {
        self.0.recent.lock().iter().cloned().collect()
    }

    /// Returns the tap of HTTP responses.
    pub(crate) fn http_tap(&self) -> &HttpTap {
        &self.0.http_tap
    }

    /// Subscribes to all lines from now on; a slow subscriber misses lines and receives their number.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.0.subscribe.subscribe()
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
    kept: Vec<RawEffect>,
    dropped: usize,
}

/// Records the log lines and effects of one run. Texts are made when they are needed: most runs log nothing and are not recorded.
pub(crate) struct RunRecorder {
    script: Arc<str>,
    event: Arc<Event>,
    /// Identifier and start of a retry. The first attempt has the identifier and the time of the event, so that either finds the other.
    retry: Option<(Id, Timestamp)>,
    level: OnceLock<Level>,
    settings: Arc<Settings>,
    log: LogStore,
    started: Instant,
    /// Whether the run logged a warning or changes state, timers or events.
    is_notable: AtomicBool,
    effects: Mutex<Effects>,
}

impl RunRecorder {
    /// Creates the recorder of a run that starts now; `retried_at` is the time of a repeated attempt.
    pub(crate) fn new(
        script: Arc<str>,
        event: Arc<Event>,
        retried_at: Option<Timestamp>,
        settings: Arc<Settings>,
        log: LogStore,
    ) -> Self {
        Self {
            script,
            event,
            retry: retried_at.map(|at| (Id::new(at), at)),
            level: OnceLock::new(),
            settings,
            log,
            started: Instant::now(),
            is_notable: AtomicBool::new(false),
            effects: Mutex::default(),
        }
    }

    /// Returns the identifier of the run.
    pub(crate) fn run_id(&self) -> &Id {
        self.retry.as_ref().map_or(&self.event.id, |(id, _)| id)
    }

    /// Returns whether the run is recorded in any case: it logged a warning or changes state, timers or events.
    pub(crate) fn is_notable(&self) -> bool {
        self.is_notable.load(Ordering::Relaxed)
    }

    fn level(&self) -> Level {
        *self.level.get_or_init(|| self.settings.level(&self.script))
    }

    /// Logs the failure of the run, unless the same failure is suppressed as a repetition.
    pub(crate) fn report(&self, report: String) {
        if Level::Error > self.level() {
            return;
        }
        let Inner { repeat_filter, clock, .. } = &*self.log.0;
        if let Some(report) = repeat_filter.filter(&self.script, report, clock.now()) {
            self.log.put(Level::Error, &self.script, self.run_id().as_str(), report, serde_json::Map::new());
        }
    }

    /// Takes the effects and log lines of the run, in order.
    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        let Effects { mut kept, dropped } = std::mem::take(&mut *self.effects.lock());
        if dropped > 0 {
            kept.push(RawEffect::new("…", format!("and {dropped} more")));
        }
        kept.into_iter().map(|effect| self.finished(effect)).collect()
    }

    /// Returns an effect with its texts masked and shortened.
    fn finished(&self, effect: RawEffect) -> Effect {
        let mut effect = effect.into_effect(self.started);
        for text in [&mut effect.details, &mut effect.result, &mut effect.fault] {
            if let Cow::Owned(masked) = self.settings.mask.apply(text) {
                *text = masked;
            }
            *text = shorten(std::mem::take(text), MAX_EFFECT_LENGTH);
        }
        effect
    }

    fn mask_fields(
        &self,
        fields: &serde_json::Map<String, serde_json::Value>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let text = serde_json::Value::Object(fields.clone()).to_string();
        match self.settings.mask.apply(&text) {
            Cow::Borrowed(_) => fields.clone(),
            Cow::Owned(masked) => serde_json::from_str(&masked).unwrap_or_default(),
        }
    }
}

impl RunLog for RunRecorder {
    fn log_line(&self, level: Level, text: &str, fields: &serde_json::Map<String, serde_json::Value>) {
        if level <= Level::Warn {
            self.is_notable.store(true, Ordering::Relaxed);
        }
        self.record_effect(RawEffect::new(level.word(), with_fields(text, fields)));
        if level <= self.level() {
            let text = self.settings.mask.apply(text).into_owned();
            self.log.put(level, &self.script, self.run_id().as_str(), text, self.mask_fields(fields));
        }
    }

    fn record_effect(&self, effect: RawEffect) {
        if effect.deferred {
            self.is_notable.store(true, Ordering::Relaxed);
        }
        let mut effects = self.effects.lock();
        match effects.kept.len() < MAX_EFFECTS {
            true => effects.kept.push(effect),
            false => effects.dropped += 1,
        }
    }

    fn record_response(&self, answer: &dyn Fn() -> RecordedResponse) {
        let time_of = |recorded: &RecordedResponse| {
            let after = recorded.began.saturating_duration_since(self.started);
            let triggered_at = self.retry.as_ref().map_or_else(|| self.event.at, |(_, at)| *at);
            triggered_at.checked_add(after).unwrap_or(triggered_at)
        };
        self.log.http_tap().send(answer, time_of);
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
