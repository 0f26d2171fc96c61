//! The log as it is written: every line to `tracing`, to those who follow, and to the ledger row of its run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use super::http_tap::Overheard;
use super::repeats::Repeats;
use super::settings::Settings;
use crate::config::Level;
use crate::effect::Effect;
use crate::functions::RunLog;
use crate::functions::http::RecordedResponse;
use crate::services::clock::Clock;

/// The target in `tracing` of what is in the log book already.
pub const LOG_TARGET: &str = "script";
/// How many lines are kept for those who ask what was.
const RECENT: usize = 1_000;
/// How many lines a slow follower may lag behind before it misses some.
const FOLLOW: usize = 1_024;
/// How many effects of one run the ledger keeps.
const EFFECTS: usize = 200;
/// How many characters of an effect the ledger keeps.
const EFFECT_LENGTH: usize = 1_000;

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// Whose; empty for rhaid's own.
    pub script: String,
    /// In which run; empty outside of runs.
    pub run: String,
    /// What.
    pub text: String,
    /// What the script added to it.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Everything that was and is logged; cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    clock: Clock,
    recent: Arc<Mutex<VecDeque<Arc<LogLine>>>>,
    /// How many lines are kept.
    most: usize,
    follow: broadcast::Sender<Arc<LogLine>>,
    repeats: Arc<Repeats>,
    overheard: Overheard,
}

impl LogStore {
    /// Makes an empty one.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            recent: Arc::default(),
            most: RECENT,
            follow: broadcast::channel(FOLLOW).0,
            repeats: Arc::default(),
            overheard: Overheard::default(),
        }
    }

    /// Makes one that keeps every line, for a world that is looked back upon.
    pub fn whole(clock: Clock) -> Self {
        Self { most: usize::MAX, ..Self::new(clock) }
    }

    /// Keeps a line that was said through `tracing`, for who listens there; what has [`LOG_TARGET`] is kept already.
    ///
    /// `script` and `run` are empty if it is about none.
    pub fn keep(
        &self,
        level: Level,
        script: &str,
        run: &str,
        text: String,
        fields: serde_json::Map<String, serde_json::Value>,
    ) {
        let (level, script, run) = (level.word(), script.into(), run.into());
        let mut recent = self.recent.lock();
        // Under the lock, so that times never go back from one line to the next.
        let line = Arc::new(LogLine { at: self.clock.now(), level, script, run, text, fields });
        if recent.len() == self.most {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        drop(recent);
        // Nobody may follow.
        let _ = self.follow.send(line);
    }

    /// Logs a line of rhaid's own about a script, or about nothing in particular (`""`).
    pub(crate) fn say(&self, level: Level, script: &str, text: impl Into<String>) {
        self.put(level, script, "", text.into(), serde_json::Map::new());
    }

    /// Returns the last lines, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<LogLine>> {
        self.recent.lock().iter().cloned().collect()
    }

    /// Returns where the answers of servers are told.
    pub(crate) fn overheard(&self) -> &Overheard {
        &self.overheard
    }

    /// Follows all lines from now on; who is too slow misses some and is told how many.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.follow.subscribe()
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
            self.keep(level, script, run, text, fields);
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

/// What a run did, as far as the ledger keeps it.
#[derive(Default)]
struct Effects {
    kept: Vec<Effect>,
    left_out: usize,
}

/// Where one run's log lines and effects go.
pub(crate) struct RunRecorder {
    script: Arc<str>,
    run: String,
    level: Level,
    settings: Arc<Settings>,
    lines: LogStore,
    started: Instant,
    /// When what woke the run happened.
    woken: Timestamp,
    effects: Mutex<Effects>,
}

impl RunRecorder {
    pub(crate) fn new(
        script: Arc<str>,
        run: String,
        settings: Arc<Settings>,
        lines: LogStore,
        woken: Timestamp,
    ) -> Self {
        let level = settings.level(&script);
        Self { script, run, level, settings, lines, started: Instant::now(), woken, effects: Mutex::default() }
    }

    /// Logs why the run failed, unless the same was told over and over.
    pub(crate) fn report(&self, report: String) {
        if Level::Error > self.level {
            return;
        }
        if let Some(report) = self.lines.repeats.tell(&self.script, report, self.lines.clock.now()) {
            self.lines.put(Level::Error, &self.script, &self.run, report, serde_json::Map::new());
        }
    }

    /// Takes what the run did and logged, in order.
    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        let Effects { mut kept, left_out } = std::mem::take(&mut *self.effects.lock());
        if left_out > 0 {
            kept.push(Effect { after: self.started.elapsed(), ..Effect::new("…", format!("and {left_out} more")) });
        }
        kept
    }

    fn note(&self, mut effect: Effect) {
        let mut effects = self.effects.lock();
        if effects.kept.len() == EFFECTS {
            effects.left_out += 1;
            return;
        }
        effect.after = self.started.elapsed().saturating_sub(effect.took);
        for text in [&mut effect.details, &mut effect.result, &mut effect.fault] {
            *text = shorten(self.settings.mask.apply(text).into_owned(), EFFECT_LENGTH);
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
        self.note(Effect::new(level.word(), with_fields(&text, &fields)));
        if level <= self.level {
            self.lines.put(level, &self.script, &self.run, text, fields);
        }
    }

    fn record_effect(&self, effect: Effect) {
        self.note(effect);
    }

    fn record_response(&self, answer: &dyn Fn() -> RecordedResponse) {
        let moment = |heard: &RecordedResponse| {
            let after = heard.began.saturating_duration_since(self.started);
            self.woken.checked_add(after).unwrap_or(self.woken)
        };
        self.lines.overheard.tell(answer, moment);
    }
}

/// Returns a log line's text with its fields behind it.
fn with_fields(text: &str, fields: &serde_json::Map<String, serde_json::Value>) -> String {
    fields.iter().fold(text.to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
}

/// Cuts text that is longer than so many characters, and shows that it did.
pub(crate) fn shorten(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
