//! The workbench of the tests: a rhaid with a folder of scripts, a clock turned by hand and a store of its own.

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

/// How long something may take that happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A workbench that is being set up.
pub(crate) struct Setup {
    folder: TempDir,
    config: String,
    start: String,
    has_broker: bool,
}

/// A rhaid that runs.
pub(crate) struct Bench {
    folder: TempDir,
    config: String,
    clock: Clock,
    /// Where the broker listens, if there is one; the same over restarts.
    broker: Option<SocketAddr>,
    running: Option<Running>,
    /// How often the power went; each time what the disk held is a data folder of its own.
    power_cuts: usize,
}

struct Running {
    tokio: tokio::runtime::Runtime,
    services: Services,
    runtime: Runtime,
    broker: Option<Broker>,
}

/// The broker that comes along, and a client of it that is not rhaid.
struct Broker {
    embedded: Embedded,
    visitor: Mqtt,
}

impl Bench {
    #[expect(clippy::new_ret_no_self, reason = "a bench is set up before it runs")]
    pub(crate) fn new() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scripts")).unwrap();
        let start = "2026-01-15T12:00:00+01:00[Europe/Berlin]".into();
        Setup { folder, config: String::new(), start, has_broker: false }
    }
}

impl Setup {
    /// Adds a script, or with an ending any other file below the scripts folder.
    pub(crate) fn script(self, name: &str, text: &str) -> Self {
        write(self.folder.path(), name, text);
        self
    }

    /// The scripts folder.
    pub(crate) fn scripts(&self) -> PathBuf {
        self.folder.path().join("scripts")
    }

    /// Adds lines to `rhaid.yaml`.
    pub(crate) fn config(mut self, yaml: &str) -> Self {
        self.config.push_str(yaml);
        self.config.push('\n');
        self
    }

    /// Sets what the clock shows at the start.
    pub(crate) fn at(mut self, moment: &str) -> Self {
        self.start = moment.into();
        self
    }

    /// Lets the embedded broker run, at a port of its own.
    pub(crate) fn with_broker(mut self) -> Self {
        self.has_broker = true;
        self
    }

    /// Starts rhaid; all scripts are live when this returns.
    pub(crate) fn start(self) -> Bench {
        let clock = Clock::manual(self.start.parse().expect("a moment with a zone"));
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
            let nowhere = "127.0.0.1:9".parse().unwrap();
            let address = broker.as_ref().map_or(nowhere, |broker| broker.embedded.address());
            let services = open(&config, &self.clock, address);
            let runtime = Runtime::start(config, services.clone()).await.unwrap();
            (services, runtime, broker)
        });
        self.broker = broker.as_ref().map(|broker| broker.embedded.address());
        self.running = Some(Running { tokio, services, runtime, broker });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// The scripts folder.
    pub(crate) fn scripts(&self) -> PathBuf {
        self.folder.path().join("scripts")
    }

    /// The handles on the outside world.
    pub(crate) fn services(&self) -> &Services {
        &self.running().services
    }

    /// Waits for something on rhaid's own runtime.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.running().tokio.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it ends") })
    }

    /// Stops rhaid, as with Ctrl-C.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { tokio, services, runtime, broker }) = self.running.take() {
            tokio.block_on(async {
                runtime.stop().await;
                if let Some(Broker { embedded, visitor }) = broker {
                    visitor.close().await;
                    embedded.stop().await;
                }
            });
            drop((services, runtime));
            tokio.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// Stops rhaid and starts it again on the same folders.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.boot();
    }

    /// Lets the power go at this moment, whatever is going on; rhaid starts again after so long, with what the disk held.
    pub(crate) fn cut_power(&mut self, away: Duration) {
        let before = self.data();
        self.power_cuts += 1;
        let after = self.data();
        fs::create_dir(&after).unwrap();
        // While it is locked nobody writes to the log ahead of the database, so that both files are of one moment.
        let locked = rusqlite::Connection::open(before.join("rhaid.db")).unwrap();
        locked.busy_timeout(PATIENCE).unwrap();
        locked.execute_batch("BEGIN IMMEDIATE").unwrap();
        for file in ["rhaid.db", "rhaid.db-wal"].into_iter().filter(|file| before.join(file).exists()) {
            fs::copy(before.join(file), after.join(file)).unwrap();
        }
        drop(locked);
        if let Some(Running { tokio, .. }) = self.running.take() {
            tokio.shutdown_background();
        }
        // What was going on holds the old clock.
        self.clock = Clock::manual(self.clock.now_zoned() + away);
        self.boot();
    }

    /// Where what outlives the process is kept, as long as the config does not say otherwise.
    fn data(&self) -> PathBuf {
        self.folder.path().join(match self.power_cuts {
            0 => ".rhaid".to_owned(),
            cuts => format!(".rhaid-{cuts}"),
        })
    }

    /// Sets the clock to another time, forward or back, and waits until nothing is going on.
    pub(crate) fn set_clock(&self, moment: jiff::Timestamp) {
        self.clock.set(moment);
    }

    /// Returns what the clock shows.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Does something beside the test, for as long as rhaid runs.
    pub(crate) fn beside(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.running().tokio.spawn(future);
    }

    /// Lets time pass; everything that is due happens, in order.
    pub(crate) fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// Saves a script, or with an ending any other file, and waits until rhaid says what it makes of it.
    pub(crate) fn edit(&self, name: &str, text: &str) -> &Self {
        let before = self.said(name).len();
        self.save(name, text);
        self.until(&format!("a word about {name}"), || self.said(name).len() > before);
        self
    }

    /// Saves a file and does not wait.
    pub(crate) fn save(&self, name: &str, text: &str) -> &Self {
        write(self.folder.path(), name, text);
        self
    }

    /// Removes a script, and waits until it is gone.
    pub(crate) fn remove(&self, name: &str) -> &Self {
        fs::remove_file(file(self.folder.path(), name)).unwrap();
        self.expect_said(name, &format!("removed {name}"))
    }

    /// Waits until all changes of files so far have been seen.
    pub(crate) fn settle(&self) -> &Self {
        let marker = format!("marker{}", self.logged().len());
        self.edit(&marker, "");
        self.remove(&marker)
    }

    /// Returns what rhaid said about a script.
    pub(crate) fn said(&self, script: &str) -> Vec<String> {
        let lines = self.logged().into_iter().filter(|line| line.run.is_empty() && line.script == script);
        lines.map(|line| line.text.clone()).collect()
    }

    /// Returns what a script logged, at any level, and the reports of its faults.
    pub(crate) fn printed(&self, script: &str) -> Vec<String> {
        let lines = self.logged().into_iter().filter(|line| !line.run.is_empty() && line.script == script);
        lines.map(|line| line.text.clone()).collect()
    }

    /// Returns the whole log since the start.
    pub(crate) fn logged(&self) -> Vec<Arc<LogLine>> {
        self.running().runtime.recent_logs()
    }

    /// Waits until a script has printed this, from the start on.
    #[track_caller]
    pub(crate) fn expect_printed<const N: usize>(&self, script: &str, lines: [&str; N]) -> &Self {
        self.until_equal(|| self.printed(script), lines.map(str::to_owned).to_vec());
        self
    }

    /// Waits until rhaid has said a line about a script that holds these words.
    #[track_caller]
    pub(crate) fn expect_said(&self, script: &str, words: &str) -> &Self {
        let found = || self.said(script).iter().any(|line| line.contains(words));
        if !self.holds_soon(found) {
            panic!("nothing said about {script} with {words:?} in {:#?}", self.said(script));
        }
        self
    }

    /// Waits until rhaid has said that something is wrong at a place.
    #[track_caller]
    pub(crate) fn expect_fault(&self, place: &str) -> &Self {
        let found = || self.logged().iter().any(|line| line.level == "error" && line.text.contains(place));
        assert!(self.holds_soon(found), "no fault at {place} in {:#?}", self.texts());
        self
    }

    fn texts(&self) -> Vec<String> {
        self.logged().iter().map(|line| format!("{} {}: {}", line.level, line.script, line.text)).collect()
    }

    /// Wakes a handler by hand, and waits for the outcome.
    #[track_caller]
    pub(crate) fn fire(&self, script: &str, trigger: &str, data: Value) -> Fired {
        let runtime = &self.running().runtime;
        let trigger = (!trigger.is_empty()).then_some(trigger);
        self.wait(runtime.fire(script, trigger, data)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The handle on what runs.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.running().runtime
    }

    /// Lists the scripts.
    pub(crate) fn list(&self) -> Vec<Listed> {
        self.wait(self.running().runtime.list())
    }

    /// Returns a script as it is listed.
    #[track_caller]
    pub(crate) fn listed(&self, script: &str) -> Listed {
        self.list().into_iter().find(|listed| listed.name == script).expect("it is listed")
    }

    /// Returns what became of a script's events, oldest first, without reloads.
    pub(crate) fn runs(&self, script: &str) -> Vec<RunRecord> {
        let query = RunQuery { script: Some(script.into()), limit: 10_000, ..RunQuery::default() };
        let mut rows = self.wait(self.running().runtime.runs(query)).unwrap();
        rows.retain(|row| row.trigger != "reload");
        rows.reverse();
        rows
    }

    /// Returns how a script's events ended, oldest first.
    pub(crate) fn outcomes(&self, script: &str) -> Vec<String> {
        self.runs(script).into_iter().map(|row| row.outcome).collect()
    }

    /// Begins to wake a handler by hand, and does not wait for the outcome.
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

    /// Returns a value that a script keeps.
    pub(crate) fn state(&self, script: &str, key: &str) -> Value {
        self.services().store.value(&format!("script:{script}"), key).unwrap().unwrap_or_default()
    }

    /// Publishes a message as another client of the broker, and waits until the broker has it.
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, payload: &str) -> &Self {
        self.publish_bytes(topic, payload.as_bytes(), false)
    }

    /// Publishes a message that the broker keeps.
    #[track_caller]
    pub(crate) fn publish_retained(&self, topic: &str, payload: &str) -> &Self {
        self.publish_bytes(topic, payload.as_bytes(), true)
    }

    /// Publishes bytes as another client of the broker.
    #[track_caller]
    pub(crate) fn publish_bytes(&self, topic: &str, payload: &[u8], retain: bool) -> &Self {
        let publish =
            Publish { topic: topic.into(), payload: payload.to_vec().into(), qos: 1, retain, ..Publish::default() };
        self.wait(self.visitor().publish(publish)).unwrap();
        self
    }

    /// Waits until the broker has confirmed every subscription so far.
    #[track_caller]
    pub(crate) fn subscribed(&self) -> &Self {
        let _inside = self.running().tokio.enter();
        let marker = Filter::parse(&format!("marker/{}", self.logged().len())).unwrap();
        let mut marker = self.services().mqtt.subscribe(&marker, 0, Retained::Live, None).unwrap();
        self.wait(marker.ready()).unwrap();
        self
    }

    /// Lets the broker go.
    pub(crate) fn break_broker(&mut self) {
        let running = self.running.as_mut().expect("it runs");
        let Broker { embedded, visitor } = running.broker.take().expect("it has a broker");
        running.tokio.block_on(async {
            visitor.close().await;
            embedded.stop().await;
        });
    }

    /// Lets the broker come back.
    pub(crate) fn mend_broker(&mut self) {
        let mut config = parse(self.folder.path(), &self.config);
        config.mqtt.embedded.listen = self.broker.expect("it has a broker");
        let clock = self.clock.clone();
        let running = self.running.as_mut().expect("it runs");
        running.broker = Some(running.tokio.block_on(Broker::start(&config, &clock)));
    }

    /// Returns the client that publishes beside rhaid's own.
    pub(crate) fn visitor(&self) -> &Mqtt {
        &self.running().broker.as_ref().expect("`with_broker()` was called").visitor
    }

    /// Changes `rhaid.yaml` while it runs.
    pub(crate) fn apply(&self, yaml: &str) -> Result<config::Difference, Vec<rhaid::fault::Fault>> {
        let config = Arc::new(parse(self.folder.path(), yaml));
        self.wait(self.running().runtime.apply(config))
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        assert!(self.holds_soon(holds), "waited in vain for {what}; the log is {:#?}", self.texts());
    }

    /// Waits until a value is as expected, and shows what it is if it never is.
    #[track_caller]
    pub(crate) fn until_equal<T: PartialEq + std::fmt::Debug>(&self, value: impl Fn() -> T, expected: T) {
        if !self.holds_soon(|| value() == expected) {
            assert_eq!(value(), expected, "the log is {:#?}", self.texts());
        }
    }

    /// Looks again with every line of the log, and now and then for what makes none.
    fn holds_soon(&self, holds: impl Fn() -> bool) -> bool {
        let Running { tokio, runtime, .. } = self.running();
        let mut lines = runtime.logs();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if holds() {
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
        let settings = mqtt::ConnectionSettings::new(&config.mqtt, embedded.address(), "visitor".into()).unwrap();
        Self { embedded, visitor: Mqtt::new(vec![settings], clock) }
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

/// Reads a config as it would stand in `rhaid.yaml` of a folder.
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
    let has_ending = Path::new(name).extension().is_some();
    folder.join("scripts").join(if has_ending { name.to_owned() } else { format!("{name}.rhai") })
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = file(folder, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// So many minutes.
pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// So many hours.
pub(crate) fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

/// So many seconds.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
