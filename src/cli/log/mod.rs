//! Log output: filters `tracing` events, and writes them to standard error and to the log store.

mod entry;
mod timestamp;

use std::io::Write as _;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub(super) use self::entry::{LogEntry, short_run_id};
pub(super) use self::timestamp::TimestampFormat;
use crate::config::{Config, Level, Log, LogFormat};
use crate::runtime::{LOG_TARGET, LogStore};
use crate::secrets::Mask;
use crate::services::clock::Clock;

/// Levels and secrets of the log, which can be replaced at run time. Cheap to clone.
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

    /// Replaces the levels and secrets by those of another configuration.
    pub(super) fn apply(&self, config: &Config) {
        let rules = FilterRules { log: config.log.clone(), mask: config.mask() };
        *self.0.write() = rules;
        tracing::callsite::rebuild_interest_cache();
    }

    fn with<T>(&self, read: impl FnOnce(&FilterRules) -> T) -> T {
        read(&self.0.read())
    }
}

/// Installs the process-wide subscriber, which logs to standard error and to the log store.
pub(super) fn start(config: &Config, log_store: LogStore, clock: Clock) -> anyhow::Result<LogFilter> {
    let filter = LogFilter::new(config);
    let layer = LogLayer { filter: filter.clone(), log_store, clock, timestamps: TimestampFormat::detect() };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    Ok(filter)
}

/// Layer of `tracing` that filters, masks and writes log entries.
struct LogLayer {
    filter: LogFilter,
    log_store: LogStore,
    clock: Clock,
    timestamps: TimestampFormat,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = level_of(*metadata.level());
        self.filter.with(|rules| level <= most_verbose(&rules.log, metadata.target()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = level_of(*event.metadata().level());
        let mut entry = LogEntry::read(event);
        let format = self.filter.with(|rules| {
            let limit = entry.script.as_deref().map_or(rules.log.level, |script| rules.log.level_of(script));
            entry.mask(&rules.mask);
            (level <= limit || !is_ours(event.metadata().target())).then_some(rules.log.format)
        });
        let Some(format) = format else { return };
        if event.metadata().target() != LOG_TARGET {
            entry.store(level, &self.log_store);
        }
        let now = self.clock.now_zoned();
        let text = match format {
            LogFormat::Json => entry.json(level, &now),
            LogFormat::Text => entry.text(level, &now, self.timestamps),
        };
        // An error on standard error cannot be reported.
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

/// Returns the most verbose level that is logged for a target.
fn most_verbose(log: &Log, target: &str) -> Level {
    let most = log.scripts.iter().map(|(_, level)| *level).fold(log.level, Level::max);
    if is_ours(target) {
        return most;
    }
    let of_others = match target.split("::").next() {
        _ if log.level == Level::Trace => Level::Debug,
        // rhaid logs connection errors itself.
        Some("rumqttc") => Level::Off,
        Some("hyper" | "hyper_util" | "reqwest" | "h2" | "rustls") => Level::Error,
        _ => Level::Warn,
    };
    of_others.min(log.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_log_less_than_rhaid() {
        let mut log = Config::default_in(std::path::Path::new("/")).log;
        assert_eq!(most_verbose(&log, "rhaid::runtime"), Level::Info);
        assert_eq!(most_verbose(&log, "rhaider"), Level::Warn);
        assert_eq!(most_verbose(&log, "rumqttc::state"), Level::Off);
        assert_eq!(most_verbose(&log, "hyper::proto"), Level::Error);
        log.level = Level::Off;
        assert_eq!(most_verbose(&log, "notify"), Level::Off);
    }
}
