//! The log: what is shown of what all parts say, and where it goes.

mod line;

use std::io::Write as _;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub(super) use self::line::{LogEntry, short};
use crate::config::{Config, Level, Log, LogFormat};
use crate::runtime::{LOG_TARGET, LogStore};
use crate::secrets::Mask;
use crate::services::clock::Clock;

/// What is logged now; cheap to clone.
#[derive(Clone)]
pub(super) struct LogFilter(Arc<RwLock<FilterRules>>);

struct FilterRules {
    log: Log,
    mask: Mask,
}

impl LogFilter {
    fn new(config: &Config) -> Self {
        Self(Arc::new(RwLock::new(FilterRules { log: config.log.clone(), mask: config.mask() })))
    }

    /// Goes by another config from now on.
    pub(super) fn apply(&self, config: &Config) {
        let rules = FilterRules { log: config.log.clone(), mask: config.mask() };
        *self.0.write() = rules;
        tracing::callsite::rebuild_interest_cache();
    }

    fn with<T>(&self, look: impl FnOnce(&FilterRules) -> T) -> T {
        look(&self.0.read())
    }
}

/// Logs to standard error and to the log book from now on, in the whole process.
pub(super) fn start(config: &Config, log_store: LogStore, clock: Clock) -> anyhow::Result<LogFilter> {
    let filter = LogFilter::new(config);
    let layer = LogLayer { filter: filter.clone(), log_store, clock, stamp: TimestampFormat::of_this_process() };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    Ok(filter)
}

/// How a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampFormat {
    /// With the time of day, for people who watch.
    Clock,
    /// With the whole time, for files.
    Full,
    /// With nothing: the system's journal adds its own.
    None,
}

impl TimestampFormat {
    fn of_this_process() -> Self {
        use std::io::IsTerminal as _;
        if std::io::stderr().is_terminal() {
            Self::Clock
        } else if std::env::var_os("JOURNAL_STREAM").is_some() {
            // Source: systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager".
            Self::None
        } else {
            Self::Full
        }
    }
}

struct LogLayer {
    filter: LogFilter,
    log_store: LogStore,
    clock: Clock,
    stamp: TimestampFormat,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = level_of(*metadata.level());
        self.filter.with(|rules| level <= loudest(&rules.log, metadata.target()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = level_of(*event.metadata().level());
        let mut line = LogEntry::read(event);
        let format = self.filter.with(|rules| {
            let limit = line.script.as_deref().map_or(rules.log.level, |script| rules.log.level_of(script));
            line.mask(&rules.mask);
            (level <= limit || !is_ours(event.metadata().target())).then_some(rules.log.format)
        });
        let Some(format) = format else { return };
        if event.metadata().target() != LOG_TARGET {
            line.keep(level, &self.log_store);
        }
        let now = self.clock.now_zoned();
        let text = match format {
            LogFormat::Json => line.json(level, &now),
            LogFormat::Text => line.text(level, &now, self.stamp),
        };
        // Where standard error can not be written to there is nobody to tell.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

fn is_ours(target: &str) -> bool {
    target == LOG_TARGET || target.split("::").next() == Some("rhaid")
}

/// Returns the loudest level that something with this target may be shown at.
fn loudest(log: &Log, target: &str) -> Level {
    let most = log.scripts.iter().map(|(_, level)| *level).fold(log.level, Level::max);
    if is_ours(target) {
        return most;
    }
    let of_others = match target.split("::").next() {
        _ if log.level == Level::Trace => Level::Debug,
        // What these have to say about a connection, we say in our own words.
        Some("rumqttc") => Level::Off,
        Some("hyper" | "hyper_util" | "reqwest" | "h2" | "rustls" | "axum") => Level::Error,
        _ => Level::Warn,
    };
    of_others.min(log.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_are_quiet_and_scripts_can_be_louder_than_the_rest() {
        let mut log = Config::default_in(std::path::Path::new("/")).log;
        assert_eq!(loudest(&log, "rhaid::runtime"), Level::Info);
        assert_eq!(loudest(&log, "rhaider"), Level::Warn);
        assert_eq!(loudest(&log, "rumqttc::state"), Level::Off);
        assert_eq!(loudest(&log, "hyper::proto"), Level::Error);
        log.level = Level::Off;
        assert_eq!(loudest(&log, "notify"), Level::Off);
    }
}
