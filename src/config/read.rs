//! The keys of `rhaid.yaml`: one pass over them reads the file, gives the defaults and makes the JSON Schema, so that these cannot drift apart.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::node::Node;
use super::report::Report;
use super::section::Section;
use super::{Config, History, KindInfo, Level, Limits, Log, LogFormat, Web};
use super::{broker, permissions, triggers, value_type};
use crate::secrets::Secret;

pub(super) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The words for how much is logged.
const LEVELS: &[(&str, Level)] = &[
    (Level::Off.word(), Level::Off),
    (Level::Error.word(), Level::Error),
    (Level::Warn.word(), Level::Warn),
    (Level::Info.word(), Level::Info),
    (Level::Debug.word(), Level::Debug),
    (Level::Trace.word(), Level::Trace),
];

/// Reads a document, or gives the defaults of none, and returns its description beside it.
pub(super) fn document(node: Option<&Node>, folder: &Path, kinds: &[KindInfo], report: &mut Report) -> (Config, Json) {
    let mut keys = Section::new("", node, report);
    let config = Config {
        file: None,
        scripts: folder.join(keys.or(
            "scripts",
            "scripts",
            "The folder that is watched for scripts, relative to this file.",
            &value_type::word(),
        )),
        data: folder.join(keys.or(
            "data",
            ".rhaid",
            "The folder for what outlives the process: state, timers, the run history; relative to this file.",
            &value_type::word(),
        )),
        timezone: keys.maybe(
            "timezone",
            "The IANA zone of clock times in scripts; the system's if left out.",
            &value_type::zone(),
        ),
        location: location(&mut keys),
        mqtt: keys.section("mqtt", "The broker: one elsewhere, several, or the one that comes along.", |keys| {
            broker::read(keys, folder)
        }),
        web: keys.section("web", "The web server: webhooks.", web),
        limits: keys.section("limits", "What one run may use, and how much may wait.", limits),
        history: keys.section("history", "How much of the run history is kept, as shown by `rhaid runs`.", history),
        permissions: permissions::read(&mut keys, folder),
        log: keys.section("log", "What is logged, and how.", log),
        secrets: secrets(&mut keys),
        triggers: triggers::read(&mut keys, kinds),
        hidden: Vec::new(),
    };
    keys.rename("ledger", "history");
    let description = keys.finish();
    (config, description)
}

fn location(keys: &mut Section<'_>) -> Option<(f64, f64)> {
    let about = "Where the house stands, for sunrise and sunset.";
    keys.section("location", about, |keys| {
        let north = "Degrees north of the equator; south is negative.";
        let latitude = keys.maybe("latitude", north, &value_type::number(-90.0..=90.0));
        let east = "Degrees east of Greenwich; west is negative.";
        let longitude = keys.maybe("longitude", east, &value_type::number(-180.0..=180.0));
        if keys.is_written("latitude") != keys.is_written("longitude") {
            keys.refuse("latitude", "write `longitude` too");
            keys.refuse("longitude", "write `latitude` too");
        }
        latitude.zip(longitude)
    })
}

fn web(keys: &mut Section<'_>) -> Web {
    Web { listen: keys.or("listen", "127.0.0.1:7373", "Where webhooks are answered.", &value_type::address()) }
}

#[expect(clippy::too_many_lines, reason = "a table, with an entry for each key")]
fn limits(keys: &mut Section<'_>) -> Limits {
    let time = || value_type::duration(MILLISECOND, 365 * DAY);
    Limits {
        timeout: keys.or("timeout", "30s", "How long a run may take.", &time()),
        load_timeout: keys.or(
            "load_timeout",
            "5s",
            "How long the top level of a script may take.",
            &value_type::duration(MILLISECOND, HOUR),
        ),
        operations: keys.or(
            "operations",
            "50000000",
            "How many operations of the interpreter a run may spend.",
            &value_type::whole(1_000..=1_000_000_000_000),
        ),
        memory: keys.or("memory", "64MiB", "How much memory a run may hold at once.", &value_type::size(MIB, GIB)),
        call_depth: keys.or("call_depth", "32", "How deeply functions may call each other.", &count(1..=128)),
        log: keys.or("log", "64KiB", "How much a run may log.", &value_type::size(0, GIB)),
        script_size: keys.or("script_size", "256KiB", "The largest script.", &value_type::size(1, 16 * MIB)),
        queue: keys.or("queue", "1000", "How many events of one script may wait.", &count(1..=1_000_000)),
        parallel: keys.or(
            "parallel",
            "16",
            "How many runs of one trigger go side by side in mode `parallel`.",
            &count(1..=1_000),
        ),
        runs: keys.or("runs", "256", "How many runs of all scripts go side by side.", &count(1..=1_000)),
        stop: keys.or(
            "stop",
            "10s",
            "How long stopping waits for running handlers.",
            &value_type::duration(Duration::ZERO, HOUR),
        ),
        http_timeout: keys.or("http_timeout", "30s", "How long an HTTP call may take in total.", &time()),
        http_connect_timeout: keys.or(
            "http_connect_timeout",
            "10s",
            "How long an HTTP call may take to connect.",
            &time(),
        ),
        http_body: keys.or(
            "http_body",
            "10MiB",
            "The largest response body, after decompression.",
            &value_type::size(1 << 10, GIB),
        ),
        http_file: keys.or(
            "http_file",
            "1GiB",
            "The largest response body that a script saves to a file.",
            &value_type::size(1 << 10, 1 << 50),
        ),
        breaker: keys.or(
            "breaker",
            "1000",
            "How many runs one script may start in ten seconds before it is paused.",
            &count(1..=1_000_000),
        ) as u32,
        failures: keys.or(
            "failures",
            "100",
            "How many runs of one script may fail in a row before it is paused.",
            &count(1..=1_000_000),
        ),
        pause: keys.or("pause", "1m", "How long a script is paused then, before it is tried again.", &time()),
    }
}

fn history(keys: &mut Section<'_>) -> History {
    History {
        rows: keys.or(
            "rows",
            "100000",
            "How many events are kept; what is dull and what there is most of goes first, so that failures stay longest.",
            &value_type::whole(100..=100_000_000),
        ),
        disk: keys.or("disk", "256MiB", "About how much room they take on disk.", &value_type::size(MIB, 1024 * GIB)),
        age: keys.or("age", "30d", "How long they are kept.", &value_type::duration(HOUR, 3650 * DAY)),
        payload: keys.or(
            "payload",
            "16KiB",
            "How much is kept of what woke a run; a longer one is cut and can not be replayed.",
            &value_type::size(0, MIB),
        ),
    }
}

fn log(keys: &mut Section<'_>) -> Log {
    let formats: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
    let scripts = keys.pairs(
        "scripts",
        "Levels per script: a glob over its name, and its level; the last match counts.",
        &value_type::one_of(LEVELS),
    );
    let scripts = scripts
        .into_iter()
        .filter_map(|(entry, level)| {
            let fault = |why| keys.report().fault(&entry.place, format!("`log.scripts`: {why}"));
            permissions::Pattern::script(&entry.key).map_err(fault).ok().map(|glob| (glob, level))
        })
        .collect();
    Log {
        level: keys.or("level", "info", "How much is logged.", &value_type::one_of(LEVELS)),
        format: keys.or(
            "format",
            "text",
            "How log lines look: for people, or one JSON object a line.",
            &value_type::one_of(formats),
        ),
        scripts,
    }
}

fn secrets(keys: &mut Section<'_>) -> Vec<(String, Secret)> {
    let about = "Values for `secret(name)` in scripts; better ${NAME} or ${file:PATH} than the value itself.";
    keys.pairs("secrets", about, &value_type::secret())
        .into_iter()
        .map(|(entry, secret)| (entry.key.clone(), secret))
        .collect()
}

/// A whole number that counts things.
pub(super) fn count(range: std::ops::RangeInclusive<i64>) -> value_type::ValueType<usize> {
    value_type::whole(range).and_then(|number| usize::try_from(number).map_err(|_| "this is too many".to_owned()))
}
