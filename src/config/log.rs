//! `log:`: levels and format of the log.

use super::permissions::Glob;
use super::section::Section;
use super::value_type;

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No output.
    Off,
    /// Someone must act.
    Error,
    /// A problem that was handled.
    Warn,
    /// A change of state.
    Info,
    /// For development.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// Returns its name in `log.level` and in log lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// Log levels and format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The default level.
    pub level: Level,
    /// The format.
    pub format: LogFormat,
    /// Levels by script; the last match applies; see [`Log::level_of`].
    pub scripts: Vec<(Glob, Level)>,
}

impl Log {
    /// Returns the level that applies to a script.
    pub fn level_of(&self, script: &str) -> Level {
        let own = self.scripts.iter().rev().find(|(pattern, _)| pattern.is_match(script));
        own.map_or(self.level, |(_, level)| *level)
    }
}

/// The levels by name.
const LEVELS: &[(&str, Level)] = &[
    (Level::Off.word(), Level::Off),
    (Level::Error.word(), Level::Error),
    (Level::Warn.word(), Level::Warn),
    (Level::Info.word(), Level::Info),
    (Level::Debug.word(), Level::Debug),
    (Level::Trace.word(), Level::Trace),
];

/// Reads the section.
pub(super) fn read(section: &mut Section<'_>) -> Log {
    let formats: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
    let scripts = section.map(
        "scripts",
        "Levels by script: a glob over script names, and a level; the last match applies.",
        &value_type::keyword(LEVELS),
    );
    let scripts = scripts
        .into_iter()
        .filter_map(|(entry, level)| {
            let fault = |why| section.report().fault(&entry.location, format!("`log.scripts`: {why}"));
            Glob::script(&entry.key).map_err(fault).ok().map(|glob| (glob, level))
        })
        .collect();
    Log {
        level: section.value("level", "info", "The default level.", &value_type::keyword(LEVELS)),
        format: section.value(
            "format",
            "text",
            "The format of log lines: text, or one JSON object per line.",
            &value_type::keyword(formats),
        ),
        scripts,
    }
}
