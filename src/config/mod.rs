//! `rhaid.yaml`: every value with a default, a unit and a place.

mod permissions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::permissions::{Denied, Need, Permissions};
use crate::fault::Place;
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
    /// What scripts may reach.
    pub permissions: Permissions,
    /// What is logged, and how.
    pub log: Log,
    /// Values for `secret(name)`.
    pub secrets: Vec<(String, Secret)>,
    /// Triggers bound to jobs.
    pub triggers: Vec<Binding>,
}

impl Config {
    /// Returns the mask that hides every secret this config knows.
    pub fn mask(&self) -> Mask {
        let mqtt = [&self.mqtt.password, &self.mqtt.embedded.password];
        Mask::new(self.secrets.iter().map(|(_, secret)| secret.clone()).chain(mqtt.into_iter().flatten().cloned()))
    }
}

/// A broker elsewhere, or the one that comes along.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// `mqtt://host:port` or `mqtts://host:port`; `None`: the embedded broker.
    pub url: Option<String>,
    /// The name the broker knows us by; `None`: made once and kept in the data folder.
    pub client_id: Option<String>,
    /// Whether the broker forgets us when we leave.
    pub clean_start: bool,
    /// For the broker elsewhere.
    pub username: Option<String>,
    /// For the broker elsewhere.
    pub password: Option<Secret>,
    /// How often the connection is proved alive.
    pub keep_alive: Duration,
    /// The largest packet taken or sent, in bytes.
    pub max_packet: u64,
    /// How many publishes wait while the broker is away.
    pub outbox: usize,
    /// The broker that comes along.
    pub embedded: Embedded,
}

/// The broker that comes along.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What clients must say, if anything.
    pub username: Option<String>,
    /// What clients must say, if anything.
    pub password: Option<Secret>,
}

/// The web server: webhooks.
#[derive(Debug, Clone)]
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
    /// How many runs one script may start in ten seconds before its breaker opens.
    pub breaker: u32,
    /// How many ledger rows are kept.
    pub ledger: u64,
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
    /// Levels per script: glob and level, the last match counts.
    pub scripts: Vec<(String, Level)>,
}

/// A trigger bound to a job in `rhaid.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Where it stands.
    pub place: Place,
    /// The job's file, relative to the scripts folder.
    pub job: String,
    /// The kind of trigger, such as `cron`.
    pub kind: String,
    /// What comes before the options, such as the cron expression.
    pub arguments: Vec<Value>,
    /// The options.
    pub options: Map,
}
