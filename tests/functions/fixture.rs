//! Test fixture for functions: a folder, an in-memory store, a broker and an HTTP server in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use rhaid::config::{Config, Level, Source, parse};
use rhaid::effect::{Effect, RawEffect};
use rhaid::functions::{Context, RunLog, RunUsage};
use rhaid::script::{MIN_STACK_SIZE, Purpose, RunError, Script, Sources};
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt::{ConnectionSettings, Embedded};
use rhaid::services::store::{Batch, Store};
use rhaid::triggers::TriggerContext;
use rhaid::value::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::server;

/// The services that functions use.
pub(super) struct Fixture {
    runtime: Runtime,
    pub(super) config: Arc<Config>,
    services: Services,
    /// The address of the server that stands for `example.test` in scripts.
    pub(super) server: SocketAddr,
    pub(super) run_log: Arc<RecordingLog>,
    _folder: tempfile::TempDir,
    _broker: Embedded,
}

/// The log lines and effects of runs.
#[derive(Default)]
pub(super) struct RecordingLog {
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) effects: Mutex<Vec<Effect>>,
}

impl RunLog for RecordingLog {
    fn log_line(&self, level: Level, text: &str, fields: &serde_json::Map<String, serde_json::Value>) {
        let fields =
            if fields.is_empty() { String::new() } else { serde_json::Value::from(fields.clone()).to_string() };
        self.lines.lock().push(format!("{level:?} {text}{fields}"));
    }

    fn record_effect(&self, effect: RawEffect) {
        let started = effect.started;
        self.effects.lock().push(effect.into_effect(started));
    }
}

/// The source of one file, `t.rhai`.
struct SingleSource(Arc<str>);

impl Sources for SingleSource {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        if file == "t.rhai" { Ok(self.0.clone()) } else { Err(format!("there is no file {file}")) }
    }
}

/// A `rhaid.yaml` with all permissions.
pub(super) const ALL_PERMISSIONS: &str = r#"
secrets: { ntfy_token: s3cret-value }
location: { latitude: 59.91, longitude: 10.75 }
permissions:
  "*":
    read: ["./**"]
    write: ["./**"]
    exec: ["*"]
    env: ["*"]
    secrets: ["*"]
"#;

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(ALL_PERMISSIONS)
    }

    /// Creates a fixture with this `rhaid.yaml`.
    pub(super) fn with(yaml: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for sub in ["scripts", "notes"] {
            std::fs::create_dir(root.join(sub)).unwrap();
        }
        let config = Arc::new(read(yaml, &root));
        let clock = Clock::system(TimeZone::UTC);
        let store = Store::in_memory().unwrap();
        let (services, server, broker) = runtime.block_on(async {
            let broker = Embedded::start(&config.mqtt, &root).await.unwrap();
            let settings = ConnectionSettings::new(&config.mqtt, broker.address(), "functions-test".into()).unwrap();
            let services = Services::builder(clock, store).brokers(vec![settings]).build();
            (services, server::start().await, broker)
        });
        let run_log = Arc::default();
        Self { runtime, config, services, server, run_log, _folder: folder, _broker: broker }
    }

    pub(super) fn context(&self, timeout: Duration) -> Arc<Context> {
        Arc::new(Context {
            script: "t".into(),
            services: self.services.clone().into(),
            config: self.config.clone(),
            runtime: self.runtime.handle().clone(),
            cancel: CancellationToken::new(),
            deadline: Instant::now() + timeout,
            virtual_deadline: None,
            batch: Mutex::new(Batch::default()),
            earlier_runs: None,
            pending_writes: None,
            hops: 0,
            run_log: self.run_log.clone(),
            is_dry_run: false,
            usage: RunUsage::default(),
        })
    }

    /// Runs a script as a job; `example.test` is replaced by the server's address.
    pub(super) fn run(&self, text: &str) -> Result<Value, String> {
        self.run_in(text, &self.context(Duration::from_secs(60)))
    }

    pub(super) fn run_in(&self, text: &str, context: &Arc<Context>) -> Result<Value, String> {
        let text = text.replace("example.test", &self.server.to_string());
        let trigger_context = TriggerContext {
            brokers: std::sync::Arc::default(),
            zone: TimeZone::UTC,
            location: None,
            base: self.config.scripts.parent().unwrap().to_owned(),
        };
        let sources = Arc::new(SingleSource(text.into()));
        let script = Script::load("t.rhai", &Purpose::Job, sources, &self.config, &trigger_context)
            .map_err(|faults| faults.iter().map(|fault| fault.report()).collect::<Vec<_>>().join("\n"))?;
        let run = || match script.run(None, &[], context) {
            Ok(finished) => Ok(finished.value),
            Err(RunError::Fault(fault)) => Err(fault.report()),
            Err(RunError::Stopped(stop, fault)) => Err(format!("{stop:?}: {}", fault.report())),
        };
        std::thread::scope(|scope| {
            std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
        })
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Returns the base folder of relative paths in scripts.
    pub(super) fn folder(&self) -> &Path {
        self.config.scripts.parent().unwrap()
    }

    /// Commits the batch of a run.
    pub(super) fn commit(&self, context: &Context) {
        self.services.store.commit(&context.batch.lock()).unwrap();
    }

    /// Removes the files that runs have written.
    pub(super) fn remove_notes(&self) {
        let notes = self.config.scripts.parent().unwrap().join("notes");
        std::fs::remove_dir_all(&notes).unwrap();
        std::fs::create_dir(&notes).unwrap();
    }
}

fn read(yaml: &str, root: &Path) -> Config {
    // Each fixture has its own broker on a free port.
    let text = match yaml.split_once("mqtt: {") {
        Some((before, after)) => format!("{before}mqtt: {{ embedded: {{ listen: \"127.0.0.1:0\" }}, {after}"),
        None => format!("mqtt: {{ embedded: {{ listen: \"127.0.0.1:0\" }} }}\n{yaml}"),
    };
    let file = root.join("rhaid.yaml");
    let source = Source {
        file: Some(&file),
        name: "rhaid.yaml",
        text: &text,
        folder: root,
        environment: &BTreeMap::new(),
        reserved: &[],
        read_file: &|_| Err("no such file".into()),
        overrides: &[],
        kinds: &[],
    };
    parse(&source).unwrap_or_else(|faults| panic!("{faults:?}")).config
}

/// Runs a call that must fail, and returns the `kind` and the message of the error.
pub(super) fn fault(fixture: &Fixture, call: &str) -> (String, String) {
    let script = format!(
        "let kind = \"none\"; let message = \"\";
        try {{ {call} }} catch (err) {{ kind = err.kind; message = err.message; }}
        [kind, message]"
    );
    let Ok(Value::List(both)) = fixture.run(&script) else { panic!("{:?}", fixture.run(&script)) };
    (both[0].as_text().unwrap().to_owned(), both[1].as_text().unwrap().to_owned())
}
