//! The keys of `rhaid.yaml`: one pass over them reads the file, gives the defaults and makes the JSON Schema, so that these cannot drift apart.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::keys::Keys;
use super::node::Node;
use super::report::Report;
use super::{Config, Embedded, KindInfo, Level, Limits, Log, LogFormat, Mqtt, Tls, Web};
use super::{permissions, shape, triggers};
use crate::secrets::Secret;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The words for how much is logged.
const LEVELS: &[(&str, Level)] = &[
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

/// Reads a document, or gives the defaults of none, and returns its description beside it.
pub(super) fn document(node: Option<&Node>, folder: &Path, kinds: &[KindInfo], report: &mut Report) -> (Config, Json) {
    let mut keys = Keys::new("", node, report);
    let config = Config {
        file: None,
        scripts: folder.join(keys.or(
            "scripts",
            "scripts",
            "The folder that is watched for scripts, relative to this file.",
            &shape::word(),
        )),
        data: folder.join(keys.or(
            "data",
            ".rhaid",
            "The folder for what outlives the process: state, timers, the ledger; relative to this file.",
            &shape::word(),
        )),
        timezone: keys.maybe(
            "timezone",
            "The IANA zone of clock times in scripts; the system's if left out.",
            &shape::zone(),
        ),
        location: location(&mut keys),
        mqtt: keys
            .section("mqtt", "The broker: one elsewhere, or the one that comes along.", |keys| mqtt(keys, folder)),
        web: keys.section("web", "The web server: webhooks.", web),
        limits: keys.section("limits", "What one run may use, and how much may wait.", limits),
        permissions: permissions::read(&mut keys, folder),
        log: keys.section("log", "What is logged, and how.", log),
        secrets: secrets(&mut keys),
        triggers: triggers::read(&mut keys, kinds),
        hidden: Vec::new(),
    };
    let description = keys.finish();
    (config, description)
}

fn location(keys: &mut Keys<'_>) -> Option<(f64, f64)> {
    let about = "Where the house stands, for sunrise and sunset.";
    keys.section("location", about, |keys| {
        let north = "Degrees north of the equator; south is negative.";
        let latitude = keys.maybe("latitude", north, &shape::number(-90.0..=90.0));
        let east = "Degrees east of Greenwich; west is negative.";
        let longitude = keys.maybe("longitude", east, &shape::number(-180.0..=180.0));
        if keys.is_written("latitude") != keys.is_written("longitude") {
            keys.refuse("latitude", "write `longitude` too");
            keys.refuse("longitude", "write `latitude` too");
        }
        latitude.zip(longitude)
    })
}

fn mqtt(keys: &mut Keys<'_>, folder: &Path) -> Mqtt {
    hide_url_password(keys);
    let mqtt = Mqtt {
        url: keys.maybe(
            "url",
            "A broker elsewhere: mqtt://HOST[:PORT], or mqtts:// with TLS. Left out: the embedded broker.",
            &shape::word().and_then(broker),
        ),
        client_id: keys.maybe(
            "client_id",
            "The name the broker knows us by; left out, one is made once and kept in the data folder.",
            &mqtt_text(),
        ),
        clean_start: keys.or(
            "clean_start",
            "false",
            "Whether the broker forgets us when we leave, and keeps no messages for us meanwhile.",
            &shape::flag(),
        ),
        username: keys.maybe("username", "The user name for the broker elsewhere.", &mqtt_text()),
        password: keys.maybe(
            "password",
            "The password for the broker elsewhere; better ${NAME} or ${file:PATH} than the word itself.",
            &shape::secret(),
        ),
        keep_alive: keys.or(
            "keep_alive",
            "30s",
            "How often the connection is proved alive.",
            &shape::duration(Duration::from_secs(5), Duration::from_secs(65_535)),
        ),
        max_packet: keys.or(
            "max_packet",
            "16MiB",
            "The largest MQTT packet taken or sent.",
            &shape::size(1 << 10, 256 * MIB - 1),
        ),
        outbox: keys.or("outbox", "10000", "How many publishes wait while the broker is away.", &count(1..=1_000_000)),
        tls: keys.section("tls", "TLS to the broker elsewhere.", |keys| tls(keys, folder)),
        embedded: keys.section("embedded", "The broker that comes along, used when `mqtt.url` is left out.", embedded),
    };
    if keys.is_written("password") && !keys.is_written("username") {
        keys.refuse("password", "a password needs a user name: write `mqtt.username` too");
    }
    if keys.is_written("tls") && mqtt.url.as_ref().is_some_and(|url| !url.starts_with("mqtts:")) {
        keys.refuse("tls", "this is for brokers with TLS only: write `mqtt.url` with mqtts://");
    }
    mqtt
}

fn tls(keys: &mut Keys<'_>, folder: &Path) -> Tls {
    let mut file = |name, about| keys.maybe(name, about, &shape::word()).map(|file| folder.join(file));
    let tls = Tls {
        ca: file("ca", "A PEM file with the authorities to trust, relative to this file; left out: the system's."),
        certificate: file("certificate", "A PEM file with our own certificate, relative to this file."),
        key: file("key", "A PEM file with our certificate's key, relative to this file."),
        insecure: keys.or("insecure", "false", "Whether any certificate is taken: for tests only.", &shape::flag()),
    };
    if keys.is_written("certificate") != keys.is_written("key") {
        keys.refuse("certificate", "write `mqtt.tls.key` too");
        keys.refuse("key", "write `mqtt.tls.certificate` too");
    }
    tls
}

fn embedded(keys: &mut Keys<'_>) -> Embedded {
    let embedded = Embedded {
        listen: keys.or("listen", "127.0.0.1:1883", "Where the embedded broker listens.", &shape::address()),
        username: keys.maybe("username", "What clients must say as their user name.", &mqtt_text()),
        password: keys.maybe("password", "What clients must say as their password.", &shape::secret()),
    };
    if keys.is_written("username") != keys.is_written("password") {
        keys.refuse("username", "write `mqtt.embedded.password` too");
        keys.refuse("password", "write `mqtt.embedded.username` too");
    }
    embedded
}

fn web(keys: &mut Keys<'_>) -> Web {
    Web { listen: keys.or("listen", "127.0.0.1:7373", "Where webhooks are answered.", &shape::address()) }
}

fn limits(keys: &mut Keys<'_>) -> Limits {
    let time = || shape::duration(MILLISECOND, 365 * DAY);
    Limits {
        timeout: keys.or("timeout", "30s", "How long a run may take.", &time()),
        load_timeout: keys.or(
            "load_timeout",
            "5s",
            "How long the top level of a script may take.",
            &shape::duration(MILLISECOND, HOUR),
        ),
        operations: keys.or(
            "operations",
            "50000000",
            "How many operations of the interpreter a run may spend.",
            &shape::whole(1_000..=1_000_000_000_000),
        ),
        memory: keys.or("memory", "64MiB", "How much memory a run may hold at once.", &shape::size(MIB, 64 * GIB)),
        call_depth: keys.or("call_depth", "32", "How deeply functions may call each other.", &count(1..=128)),
        log: keys.or("log", "64KiB", "How much a run may log.", &shape::size(0, GIB)),
        script_size: keys.or("script_size", "256KiB", "The largest script.", &shape::size(1, 16 * MIB)),
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
            &shape::duration(Duration::ZERO, HOUR),
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
            &shape::size(1 << 10, GIB),
        ),
        breaker: keys.or(
            "breaker",
            "1000",
            "How many runs one script may start in ten seconds before it is paused.",
            &count(1..=1_000_000),
        ) as u32,
        ledger: keys.or("ledger", "100000", "How many rows of the ledger are kept.", &shape::whole(100..=100_000_000)),
    }
}

fn log(keys: &mut Keys<'_>) -> Log {
    let formats: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
    let scripts = keys.pairs(
        "scripts",
        "Levels per script: a glob over its name, and its level; the last match counts.",
        &shape::one_of(LEVELS),
    );
    let scripts = scripts
        .into_iter()
        .filter_map(|(entry, level)| {
            let fault = |why| keys.report().fault(&entry.place, format!("`log.scripts`: {why}"));
            permissions::Pattern::script(&entry.key).map_err(fault).ok().map(|glob| (glob, level))
        })
        .collect();
    Log {
        level: keys.or("level", "info", "How much is logged.", &shape::one_of(LEVELS)),
        format: keys.or(
            "format",
            "text",
            "How log lines look: for people, or one JSON object a line.",
            &shape::one_of(formats),
        ),
        scripts,
    }
}

fn secrets(keys: &mut Keys<'_>) -> Vec<(String, Secret)> {
    let about = "Values for `secret(name)` in scripts; better ${NAME} or ${file:PATH} than the value itself.";
    keys.pairs("secrets", about, &shape::secret())
        .into_iter()
        .map(|(entry, secret)| (entry.key.clone(), secret))
        .collect()
}

/// A whole number that counts things.
fn count(range: std::ops::RangeInclusive<i64>) -> shape::Shape<usize> {
    shape::whole(range).and_then(|number| usize::try_from(number).map_err(|_| "this is too many".to_owned()))
}

/// Text that fits into an MQTT string field.
///
/// Source: MQTT 5.0, 1.5.4 "UTF-8 Encoded String".
fn mqtt_text() -> shape::Shape<String> {
    shape::word().and_then(|text| {
        if text.len() > 65_535 || text.contains('\0') {
            return Err("write at most 65535 bytes, none of them NUL".to_owned());
        }
        Ok(text)
    })
}

/// Checks the address of a broker.
fn broker(text: String) -> Result<String, String> {
    let wrong =
        |why: &str| Err(format!("{why}: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883"));
    let Ok(url) = url::Url::parse(&text) else { return wrong(&format!("{text:?} is no URL")) };
    if !matches!(url.scheme(), "mqtt" | "mqtts") {
        return wrong(&format!("{:?} is no scheme for MQTT", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "write the user and the password as `mqtt.username` and `mqtt.password`, not into the URL".to_owned()
        );
    }
    if url.host_str().is_none_or(str::is_empty) {
        return wrong("the URL names no host");
    }
    if url.port() == Some(0) {
        return wrong("port 0 is none");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("nothing may stand behind the host and port");
    }
    Ok(text)
}

/// Keeps a password that stands in the URL, where it must not, out of the fault that says so.
fn hide_url_password(keys: &mut Keys<'_>) {
    let Some(text) = keys.text("url") else { return };
    if let Some((_, rest)) = text.split_once("://")
        && let Some((user, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
    {
        keys.report().hide(Secret::new(password));
    }
}
