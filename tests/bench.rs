//! Test bench: the runtime with a temporary scripts folder, a virtual clock and its own store.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhaid::config::{self, Config, KindInfo, Source};
use rhaid::runtime::{Fired, Listed, LogLine, Runtime};
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt::{self, Embedded, Mqtt, Publish, Retained};
use rhaid::services::store::{RunQuery, RunRecord, Store};
use rhaid::topic::Filter;
use rhaid::triggers::KINDS;
use rhaid::value::Value;
use tempfile::TempDir;

/// Limit for operations that take milliseconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The builder of a [`Bench`].
pub(crate) struct Setup {
    folder: TempDir,
    config: String,
    start: String,
    has_broker: bool,
}

/// A running runtime under test.
pub(crate) struct Bench {
    folder: TempDir,
    config: String,
    clock: Clock,
    /// The address of the broker, if there is one; it stays the same over restarts.
    broker: Option<SocketAddr>,
    running: Option<Running>,
    /// The number of power cuts; each continues with a copy of the data folder.
    power_cuts: usize,
}

struct Running {
    tokio: tokio::runtime::Runtime,
    services: Services,
    runtime: Runtime,
    broker: Option<Broker>,
}

/// The embedded broker, and a client of the test.
struct Broker {
    embedded: Embedded,
    client: Mqtt,
}

impl Bench {
    #[expect(clippy::new_ret_no_self, reason = "a bench is configured before it starts")]
    pub(crate) fn new() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scripts")).unwrap();
        let start = "2026-01-15T12:00:00+01:00[Europe/Berlin]".into();
        Setup { folder, config: String::new(), start, has_broker: false }
    }
}

impl Setup {
    /// Adds a script, or with a file extension any other file below the scripts folder.
    pub(crate) fn script(self, name: &str, text: &str) -> Self {
        write(self.folder.path(), name, text);
        self
    }

    /// Returns the scripts folder.
    pub(crate) fn scripts(&self) -> PathBuf {
        self.folder.path().join("scripts")
    }

    /// Adds lines to `rhaid.yaml`.
    pub(crate) fn config(mut self, yaml: &str) -> Self {
        self.config.push_str(yaml);
        self.config.push('\n');
        self
    }

    /// Sets the time of the clock at the start.
    pub(crate) fn at(mut self, moment: &str) -> Self {
        self.start = moment.into();
        self
    }

    /// Runs the embedded broker on a free port.
    pub(crate) fn with_broker(mut self) -> Self {
        self.has_broker = true;
        self
    }

    /// Starts the runtime; all scripts are active when this returns.
    pub(crate) fn start(self) -> Bench {
        let clock = Clock::manual(self.start.parse().expect("a time with a zone"));
        let broker = self.has_broker.then(|| "127.0.0.1:0".parse().unwrap());
        let mut bench = Bench { folder: self.folder, config: self.config, clock, broker, running: None, power_cuts: 0 };
        bench.boot();
        bench
    }
}

impl Bench {
    fn boot(&mut self) {
        let mut config = parse(self.folder.path(), &self.config);
        if let Some(listen) = self.broker {
            config.mqtt.embedded.listen = listen;
        }
        if self.power_cuts > 0 {
            config.data = self.data();
        }
        let config = Arc::new(config);
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (services, runtime, broker) = tokio.block_on(async {
            let broker = match self.broker {
                Some(_) => Some(Broker::start(&config, &self.clock).await),
                None => None,
            };
            let unused = "127.0.0.1:9".parse().unwrap();
            let address = broker.as_ref().map_or(unused, |broker| broker.embedded.address());
            let services = open(&config, &self.clock, address);
            let runtime = Runtime::start(config, services.clone()).await.unwrap();
            (services, runtime, broker)
        });
        self.broker = broker.as_ref().map(|broker| broker.embedded.address());
        self.running = Some(Running { tokio, services, runtime, broker });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the runtime was started")
    }

    /// Returns the scripts folder.
    pub(crate) fn scripts(&self) -> PathBuf {
        self.folder.path().join("scripts")
    }

    /// Returns the services of the runtime.
    pub(crate) fn services(&self) -> &Services {
        &self.running().services
    }

    /// Waits for a future on the tokio runtime of the bench.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.running()
            .tokio
            .block_on(async { tokio::time::timeout(TIMEOUT, future).await.expect("the future completes") })
    }

    /// Stops the runtime in an orderly way, as Ctrl-C does.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { tokio, services, runtime, broker }) = self.running.take() {
            tokio.block_on(async {
                runtime.stop().await;
                if let Some(Broker { embedded, client }) = broker {
                    client.close().await;
                    embedded.stop().await;
                }
            });
            drop((services, runtime));
            tokio.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// Stops the runtime and starts it again on the same folders.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.boot();
    }

    /// Simulates a power cut at this moment; the runtime starts again after `downtime`, with a copy of the files on disk.
    pub(crate) fn cut_power(&mut self, downtime: Duration) {
        let before = self.data();
        self.power_cuts += 1;
        let after = self.data();
        fs::create_dir(&after).unwrap();
        // The lock stops writes to the write-ahead log, so both files are copied in one consistent state.
        let locked = rusqlite::Connection::open(before.join("rhaid.db")).unwrap();
        locked.busy_timeout(TIMEOUT).unwrap();
        locked.execute_batch("BEGIN IMMEDIATE").unwrap();
        for file in ["rhaid.db", "rhaid.db-wal"].into_iter().filter(|file| before.join(file).exists()) {
            fs::copy(before.join(file), after.join(file)).unwrap();
        }
        drop(locked);
        if let Some(Running { tokio, .. }) = self.running.take() {
            tokio.shutdown_background();
        }
        // Tasks of the old runtime may still hold the old clock.
        self.clock = Clock::manual(self.clock.now_zoned() + downtime);
        self.boot();
    }

    /// Returns the data folder, unless the config sets another.
    fn data(&self) -> PathBuf {
        self.folder.path().join(match self.power_cuts {
            0 => ".rhaid".to_owned(),
            cuts => format!(".rhaid-{cuts}"),
        })
    }

    /// Sets the clock to another time, forward or back, and waits until no run is active.
    pub(crate) fn set_clock(&self, moment: jiff::Timestamp) {
        self.clock.set(moment);
    }

    /// Returns the time of the clock.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Spawns a task that ends with the runtime.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.running().tokio.spawn(future);
    }

    /// Advances the clock; all triggers that are due fire in order.
    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// Saves a script, or with a file extension any other file, and waits until the runtime logs the result.
    pub(crate) fn edit(&self, name: &str, text: &str) -> &Self {
        let before = self.logged_about(name).len();
        self.save(name, text);
        self.until(&format!("a log line about {name}"), || self.logged_about(name).len() > before);
        self
    }

    /// Saves a file without waiting.
    pub(crate) fn save(&self, name: &str, text: &str) -> &Self {
        write(self.folder.path(), name, text);
        self
    }

    /// Removes a script, and waits until the removal is logged.
    pub(crate) fn remove(&self, name: &str) -> &Self {
        fs::remove_file(file(self.folder.path(), name)).unwrap();
        self.expect_logged(name, &format!("removed {name}"))
    }

    /// Waits until all file changes so far have been processed.
    pub(crate) fn settle(&self) -> &Self {
        let marker = format!("marker{}", self.logged().len());
        self.edit(&marker, "");
        self.remove(&marker)
    }

    /// Returns the log lines of the runtime about a script.
    pub(crate) fn logged_about(&self, script: &str) -> Vec<String> {
        let lines = self.logged().into_iter().filter(|line| line.run.is_empty() && line.script == script);
        lines.map(|line| line.text.clone()).collect()
    }

    /// Returns the log lines of a script at any level, and the reports of its faults.
    pub(crate) fn printed(&self, script: &str) -> Vec<String> {
        let lines = self.logged().into_iter().filter(|line| !line.run.is_empty() && line.script == script);
        lines.map(|line| line.text.clone()).collect()
    }

    /// Returns the whole log since the start.
    pub(crate) fn logged(&self) -> Vec<Arc<LogLine>> {
        self.running().runtime.recent_logs()
    }

    /// Waits until the log lines of a script equal `lines`.
    #[track_caller]
    pub(crate) fn expect_printed<const N: usize>(&self, script: &str, lines: [&str; N]) -> &Self {
        self.until_equal(|| self.printed(script), lines.map(str::to_owned).to_vec());
        self
    }

    /// Waits until the runtime has logged a line about a script that contains `words`.
    #[track_caller]
    pub(crate) fn expect_logged(&self, script: &str, words: &str) -> &Self {
        let found = || self.logged_about(script).iter().any(|line| line.contains(words));
        if !self.becomes_true(found) {
            panic!("no log line about {script} contains {words:?} in {:#?}", self.logged_about(script));
        }
        self
    }

    /// Waits until the runtime has logged an error at a source location.
    #[track_caller]
    pub(crate) fn expect_fault(&self, place: &str) -> &Self {
        let found = || self.logged().iter().any(|line| line.level == "error" && line.text.contains(place));
        assert!(self.becomes_true(found), "no error at {place} in {:#?}", self.texts());
        self
    }

    fn texts(&self) -> Vec<String> {
        self.logged().iter().map(|line| format!("{} {}: {}", line.level, line.script, line.text)).collect()
    }

    /// Fires a trigger manually, and waits for the outcome.
    #[track_caller]
    pub(crate) fn fire(&self, script: &str, trigger: &str, data: Value) -> Fired {
        let runtime = &self.running().runtime;
        let trigger = (!trigger.is_empty()).then_some(trigger);
        self.wait(runtime.fire(script, trigger, data)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the handle of the runtime.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.running().runtime
    }

    /// Lists the scripts.
    pub(crate) fn list(&self) -> Vec<Listed> {
        self.wait(self.running().runtime.list())
    }

    /// Returns the list entry of a script.
    #[track_caller]
    pub(crate) fn listed(&self, script: &str) -> Listed {
        self.list().into_iter().find(|listed| listed.name == script).expect("the script is listed")
    }

    /// Returns the run records of a script, oldest first, without reloads.
    pub(crate) fn runs(&self, script: &str) -> Vec<RunRecord> {
        let query = RunQuery { script: Some(script.into()), limit: 10_000, ..RunQuery::default() };
        let mut records = self.wait(self.running().runtime.runs(query)).unwrap();
        records.retain(|record| record.trigger != "reload");
        records.reverse();
        records
    }

    /// Returns the outcomes of a script's runs, oldest first.
    pub(crate) fn outcomes(&self, script: &str) -> Vec<String> {
        self.runs(script).into_iter().map(|record| record.outcome).collect()
    }

    /// Fires a trigger manually, without waiting for the outcome.
    pub(crate) fn start_fire(
        &self,
        script: &str,
        trigger: &str,
        data: Value,
    ) -> impl Future<Output = Result<Fired, String>> + use<> {
        let Running { tokio, runtime, .. } = self.running();
        let (runtime, script, trigger) = (runtime.clone(), script.to_owned(), trigger.to_owned());
        let fired = tokio.spawn(async move { runtime.fire(&script, Some(&trigger), data).await });
        async { fired.await.unwrap() }
    }

    /// Returns a value of a script's state.
    pub(crate) fn state(&self, script: &str, key: &str) -> Value {
        self.services().store.value(&format!("script:{script}"), key).unwrap().unwrap_or_default()
    }

    /// Publishes a message at QoS 1 from the test client, and waits for the PUBACK.
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, payload: &str) -> &Self {
        self.publish_bytes(topic, payload.as_bytes(), false)
    }

    /// Publishes a retained message from the test client.
    #[track_caller]
    pub(crate) fn publish_retained(&self, topic: &str, payload: &str) -> &Self {
        self.publish_bytes(topic, payload.as_bytes(), true)
    }

    /// Publishes bytes from the test client.
    #[track_caller]
    pub(crate) fn publish_bytes(&self, topic: &str, payload: &[u8], retain: bool) -> &Self {
        let publish =
            Publish { topic: topic.into(), payload: payload.to_vec().into(), qos: 1, retain, ..Publish::default() };
        self.wait(self.test_client().publish(publish)).unwrap();
        self
    }

    /// Waits until the broker has acknowledged every subscription so far.
    #[track_caller]
    pub(crate) fn subscribed(&self) -> &Self {
        let _inside = self.running().tokio.enter();
        let marker = Filter::parse(&format!("marker/{}", self.logged().len())).unwrap();
        let mut marker = self.services().mqtt.subscribe(&marker, 0, Retained::Live, None).unwrap();
        self.wait(marker.ready()).unwrap();
        self
    }

    /// Stops the broker.
    pub(crate) fn stop_broker(&mut self) {
        let running = self.running.as_mut().expect("the runtime was started");
        let Broker { embedded, client } = running.broker.take().expect("`with_broker()` was called");
        running.tokio.block_on(async {
            client.close().await;
            embedded.stop().await;
        });
    }

    /// Starts the broker again at the same address.
    pub(crate) fn start_broker(&mut self) {
        let mut config = parse(self.folder.path(), &self.config);
        config.mqtt.embedded.listen = self.broker.expect("`with_broker()` was called");
        let clock = self.clock.clone();
        let running = self.running.as_mut().expect("the runtime was started");
        running.broker = Some(running.tokio.block_on(Broker::start(&config, &clock)));
    }

    /// Returns the MQTT client of the test.
    pub(crate) fn test_client(&self) -> &Mqtt {
        &self.running().broker.as_ref().expect("`with_broker()` was called").client
    }

    /// Applies a new `rhaid.yaml` to the running runtime.
    pub(crate) fn apply(&self, yaml: &str) -> Result<config::Difference, Vec<rhaid::fault::Fault>> {
        let config = Arc::new(parse(self.folder.path(), yaml));
        self.wait(self.running().runtime.apply(config))
    }

    /// Waits until a condition is true.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn() -> bool) {
        assert!(self.becomes_true(condition), "timed out waiting for {what}; the log is {:#?}", self.texts());
    }

    /// Waits until a value equals `expected`; fails with the last value.
    #[track_caller]
    pub(crate) fn until_equal<T: PartialEq + std::fmt::Debug>(&self, value: impl Fn() -> T, expected: T) {
        if !self.becomes_true(|| value() == expected) {
            assert_eq!(value(), expected, "the log is {:#?}", self.texts());
        }
    }

    /// Checks the condition after every log line, and at least every 20 ms.
    fn becomes_true(&self, condition: impl Fn() -> bool) -> bool {
        let Running { tokio, runtime, .. } = self.running();
        let mut lines = runtime.logs();
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            if condition() {
                return true;
            }
            let _ = tokio.block_on(async { tokio::time::timeout(Duration::from_millis(20), lines.recv()).await });
        }
        false
    }
}

impl Broker {
    async fn start(config: &Config, clock: &Clock) -> Self {
        let embedded = Embedded::start(&config.mqtt, &config.data).await.unwrap();
        let settings = mqtt::ConnectionSettings::new(&config.mqtt, embedded.address(), "test".into()).unwrap();
        Self { embedded, client: Mqtt::new(vec![settings], clock) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(Running { tokio, .. }) = self.running.take() {
            tokio.shutdown_background();
        }
    }
}

fn open(config: &Config, clock: &Clock, broker: SocketAddr) -> Services {
    let brokers = mqtt::ConnectionSettings::all(&config.mqtt, broker, "bench").unwrap();
    let store = Store::open(&config.data).unwrap();
    Services::builder(clock.clone(), store).brokers(brokers).build()
}

/// Parses a config as the `rhaid.yaml` of a folder.
#[track_caller]
pub(crate) fn parse(folder: &Path, yaml: &str) -> Config {
    let kinds: Vec<_> = KINDS.iter().map(|kind| KindInfo { name: kind.name, arguments: kind.arguments }).collect();
    let folder = fs::canonicalize(folder).unwrap();
    let source = Source {
        file: None,
        name: "rhaid.yaml",
        text: yaml,
        folder: &folder,
        environment: &BTreeMap::new(),
        reserved: &[],
        read_file: &|path| fs::read_to_string(path).map_err(|error| error.to_string()),
        overrides: &[],
        kinds: &kinds,
    };
    match config::parse(&source) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{}", faults.iter().map(rhaid::fault::Fault::report).collect::<Vec<_>>().join("\n")),
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    let has_extension = Path::new(name).extension().is_some();
    folder.join("scripts").join(if has_extension { name.to_owned() } else { format!("{name}.rhai") })
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = file(folder, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns a duration of minutes.
pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// Returns a duration of hours.
pub(crate) fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

/// Returns a duration of seconds.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
