//! `rhaid.yaml`: every value with a default, a unit and a place.

mod address;
mod broker;
mod difference;
mod interpolate;
mod load;
mod node;
mod permissions;
mod read;
mod report;
mod section;
mod triggers;
mod value_type;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::difference::Difference;
pub use self::load::{KindInfo, Loaded, Override, Source, parse, schema, template, variables};
pub use self::permissions::{Denied, Need, Pattern, Permissions};
use crate::fault::{Fault, SourceLocation};
use crate::secrets::{Mask, Secret};
use crate::value::{Map, Value};

/// Everything that `rhaid.yaml`, the environment and flags can set.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from, if there was one.
    pub file: Option<PathBuf>,
    /// The folder that is watched for scripts.
    pub scripts: PathBuf,
    /// The folder for what outlives the process.
    pub data: PathBuf,
    /// The zone of clock times in scripts; `None`: the system's.
    pub timezone: Option<String>,
    /// Where the house stands, for sun times: latitude and longitude in degrees, north and east positive.
    pub location: Option<(f64, f64)>,
    /// Brokers.
    pub mqtt: Mqtt,
    /// The web server.
    pub web: Web,
    /// What one run may use.
    pub limits: Limits,
    /// How much of the run history is kept.
    pub history: History,
    /// What scripts may reach.
    pub permissions: Permissions,
    /// What is logged, and how.
    pub log: Log,
    /// Values for `secret(name)`.
    pub secrets: Vec<(String, Secret)>,
    /// Triggers bound to jobs.
    pub triggers: Vec<Binding>,
    /// Every value that must not be shown: secrets, passwords, what came from files.
    hidden: Vec<Secret>,
}

impl Config {
    /// Returns the config of a folder in which there is no file.
    pub fn default_in(folder: &Path) -> Self {
        read::document(None, folder, &[], &mut report::Report::default()).0
    }

    /// Returns the mask that hides every secret this config knows: values of `secrets:`, passwords, and what came from files.
    pub fn mask(&self) -> Mask {
        let passwords = self.mqtt.brokers.iter().map(|broker| &broker.password);
        let headers = self.mqtt.brokers.iter().flat_map(|broker| &broker.headers).map(|(_, value)| value);
        let passwords = passwords.chain([&self.mqtt.embedded.password]).flatten().chain(headers);
        let secrets = self.secrets.iter().map(|(_, secret)| secret);
        Mask::new(secrets.chain(passwords).chain(&self.hidden).cloned())
    }
}

/// The name of the broker at `mqtt.url`, or of the embedded one.
pub const DEFAULT_BROKER: &str = "default";

/// The brokers, and the one that comes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// At least one; the first is the default one.
    pub brokers: Vec<Broker>,
    /// The broker that comes along.
    pub embedded: Embedded,
}

impl Mqtt {
    /// Returns the brokers' names.
    pub fn names(&self) -> Arc<[String]> {
        self.brokers.iter().map(|broker| broker.name.clone()).collect()
    }

    /// Returns whether one of the brokers is the embedded one.
    pub fn wants_embedded(&self) -> bool {
        self.brokers.iter().any(|broker| broker.url.is_none())
    }

    /// Returns the largest packet that any of them takes or sends, in bytes.
    pub fn max_packet(&self) -> u64 {
        self.brokers.iter().map(|broker| broker.max_packet).max().unwrap_or_default()
    }
}

/// A broker elsewhere, or how the one that comes along is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// What scripts call it.
    pub name: String,
    /// `mqtt://host:port`, or with another scheme; `None`: the embedded broker.
    pub url: Option<String>,
    /// The name it knows us by; `None`: made once and kept in the data folder.
    pub client_id: Option<String>,
    /// Which MQTT is spoken.
    pub protocol: Protocol,
    /// For the broker elsewhere.
    pub username: Option<String>,
    /// For the broker elsewhere.
    pub password: Option<Secret>,
    /// How long each side remembers the other, and how it is known to be there.
    pub session: Session,
    /// The largest packet taken or sent, in bytes.
    pub max_packet: u64,
    /// How many messages with QoS 1 and 2 are on the way before the first is confirmed.
    pub max_inflight: u16,
    /// How many publishes wait while the broker is away.
    pub outbox: usize,
    /// What happens when more come.
    pub outbox_full: OutboxFull,
    /// How long to wait before it is called again.
    pub backoff: Backoff,
    /// The URL of a proxy on the way to it.
    pub proxy: Option<String>,
    /// What else the greeting of a WebSocket says.
    pub headers: Vec<(String, Secret)>,
    /// TLS to the broker elsewhere.
    pub tls: Tls,
    /// What it tells others when it has lost us.
    pub will: Option<Will>,
}

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// 5 if the broker understands it, else 3.1.1.
    #[default]
    Newest,
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// What happens to a publish when as many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutboxFull {
    /// It is a fault of the script that publishes.
    #[default]
    Refuse,
    /// The one that has waited longest is given up.
    DropOldest,
}

/// How long each side remembers the other, and how it is known to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Whether the broker forgets us when we leave.
    pub clean_start: bool,
    /// How long it remembers us while we are away, in MQTT 5.
    pub expiry: Duration,
    /// How often the connection is proved alive.
    pub keep_alive: Duration,
    /// How many messages it may send before the first of them is confirmed, in MQTT 5.
    pub receive_maximum: u16,
}

/// How long to wait before a broker that is away is called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first time; twice as long at each further one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// What a broker tells others when it has lost us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// How long it waits for us to come back, in MQTT 5.
    pub delay: Duration,
    /// What it says of the payload, in MQTT 5.
    pub content_type: Option<String>,
    /// Where an answer goes, in MQTT 5.
    pub response_topic: Option<String>,
    /// What an answer repeats, in MQTT 5.
    pub correlation_data: Option<String>,
    /// How long it is told to who is away, in MQTT 5.
    pub message_expiry: Option<Duration>,
    /// What else comes with it, in MQTT 5.
    pub user_properties: Vec<(String, String)>,
}

/// TLS to a broker elsewhere; the files are PEM, their paths absolute if the config's folder is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The authorities to trust; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The protocols offered (ALPN).
    pub alpn: Vec<String>,
    /// Whether any certificate is taken.
    pub insecure: bool,
}

/// The broker that comes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What clients must say, if anything.
    pub username: Option<String>,
    /// What clients must say, if anything.
    pub password: Option<Secret>,
    /// TLS instead of plain MQTT.
    pub tls: Option<Certificate>,
    /// How many clients may be connected.
    pub max_connections: usize,
    /// The largest packet taken, in bytes; `None`: as large as our own.
    pub max_packet: Option<u64>,
    /// How many messages wait for one client.
    pub max_queued: usize,
    /// How many bytes wait for one client.
    pub max_queued_bytes: u64,
    /// The longest keep-alive granted.
    pub max_keep_alive: Duration,
}

/// What a server shows to prove who it is; PEM files, their paths absolute if the config's folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those that vouch for it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The web server: webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// What one run may use, and how much may wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// How long a run may take.
    pub timeout: Duration,
    /// How long the top level of a script may take.
    pub load_timeout: Duration,
    /// Operations of the interpreter a run may spend.
    pub operations: u64,
    /// Bytes a run may hold at once.
    pub memory: u64,
    /// How deeply functions may call each other.
    pub call_depth: usize,
    /// Bytes a run may log.
    pub log: u64,
    /// The largest script, in bytes.
    pub script_size: u64,
    /// How many events of one script may wait.
    pub queue: usize,
    /// How many runs of one trigger go side by side in mode `parallel`.
    pub parallel: usize,
    /// How many runs of all scripts go side by side.
    pub runs: usize,
    /// How long stopping waits for running handlers.
    pub stop: Duration,
    /// How long an HTTP call may take in total.
    pub http_timeout: Duration,
    /// How long an HTTP call may take to connect.
    pub http_connect_timeout: Duration,
    /// The largest response body, in bytes, after decompression.
    pub http_body: u64,
    /// The largest response body that is saved to a file, in bytes, after decompression.
    pub http_file: u64,
    /// How many runs one script may start in ten seconds before its breaker opens.
    pub breaker: u32,
    /// How many runs of one script may fail in a row before its breaker opens.
    pub failures: usize,
    /// How long an open breaker pauses a script.
    pub pause: Duration,
}

/// Retention limits of the run history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How many rows.
    pub rows: u64,
    /// About how many bytes on disk.
    pub disk: u64,
    /// How long.
    pub age: Duration,
    /// How many bytes of one event's payload.
    pub payload: u64,
}

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// Someone must act.
    Error,
    /// We coped.
    Warn,
    /// State changed.
    Info,
    /// For us.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// Returns the word for it, as `log.level` takes it and lines of the log show it.
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

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For everything that has no level of its own.
    pub level: Level,
    /// How lines look.
    pub format: LogFormat,
    /// Levels per script, the last match counts; see [`Log::level_of`].
    pub scripts: Vec<(Pattern, Level)>,
}

impl Log {
    /// Returns the level of a script.
    pub fn level_of(&self, script: &str) -> Level {
        let own = self.scripts.iter().rev().find(|(pattern, _)| pattern.is_match(script));
        own.map_or(self.level, |(_, level)| *level)
    }
}

/// A trigger bound to a job in `rhaid.yaml`.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Where it stands.
    pub place: SourceLocation,
    /// The job's file, relative to the scripts folder.
    pub job: String,
    /// Where its name stands.
    pub job_place: SourceLocation,
    /// The kind of trigger, such as `cron`.
    pub kind: String,
    /// What comes before the options, such as the cron expression.
    pub arguments: Vec<Value>,
    /// The options, unchecked.
    pub options: Map,
    /// Where the arguments stand.
    pub argument_place: SourceLocation,
    /// Where each option stands.
    pub option_places: BTreeMap<String, SourceLocation>,
    /// The lines of the file that it stands on, for faults; secrets are masked.
    pub lines: BTreeMap<usize, String>,
}

impl PartialEq for Binding {
    /// Two are equal if they bind alike; where they stand does not count.
    fn eq(&self, other: &Self) -> bool {
        self.job == other.job
            && self.kind == other.kind
            && self.arguments == other.arguments
            && self.options == other.options
    }
}

impl Binding {
    /// Returns a fault of the job's file, with its line.
    pub fn job_fault(&self, text: impl Into<String>) -> Fault {
        self.fault_at(&self.job_place, text)
    }

    /// Returns a fault of an option, or of the arguments if none is named, with its line.
    pub fn fault(&self, option: Option<&str>, text: impl Into<String>) -> Fault {
        let place = option.and_then(|name| self.option_places.get(name)).unwrap_or(&self.argument_place);
        self.fault_at(place, text)
    }

    fn fault_at(&self, place: &SourceLocation, text: impl Into<String>) -> Fault {
        Fault { source_line: self.lines.get(&place.line).cloned(), ..report::fault(place, text) }
    }
}
