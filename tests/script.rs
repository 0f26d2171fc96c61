//! Scripts through the library: cancellation and deadlines of runs, and the faults of stopped runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use rhaid::config::{Config, Level};
use rhaid::event::Event;
use rhaid::functions::{Context, RunLog, RunUsage, Stop};
use rhaid::script::{JobResult, MIN_STACK_SIZE, Purpose, RunError, Script, Sources};
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::store::{Batch, Store};
use rhaid::triggers::TriggerContext;
use rhaid::value::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A run log that discards everything.
struct DiscardLog;

impl RunLog for DiscardLog {
    fn log_line(&self, _: Level, _: &str, _: &serde_json::Map<String, serde_json::Value>) {}

    fn record_effect(&self, _: rhaid::effect::RawEffect) {}
}

struct Folder(BTreeMap<String, String>);

impl Sources for Folder {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        self.0.get(file).map(|text| text.as_str().into()).ok_or_else(|| format!("there is no file {file}"))
    }
}

struct Bench {
    runtime: Runtime,
    config: Arc<Config>,
    services: Services,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let _guard = runtime.enter();
        let clock = Clock::system(TimeZone::UTC);
        let store = Store::in_memory().unwrap();
        let services = Services::builder(clock, store).build();
        drop(_guard);
        Self { runtime, config: Arc::new(Config::default_in(Path::new("/nowhere"))), services }
    }

    fn load(&self, text: &str, purpose: &Purpose) -> Script {
        let trigger_context = TriggerContext {
            zone: TimeZone::UTC,
            location: None,
            brokers: std::sync::Arc::default(),
            base: "/nowhere".into(),
        };
        let folder = Folder(BTreeMap::from([("t.rhai".into(), text.into())]));
        Script::load("t.rhai", purpose, Arc::new(folder), &self.config, &trigger_context).unwrap_or_else(|faults| {
            panic!("{}", faults.iter().map(|fault| fault.report()).collect::<Vec<_>>().join("\n"))
        })
    }

    fn context(&self, timeout: Duration) -> Arc<Context> {
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
            run_log: Arc::new(DiscardLog),
            is_dry_run: false,
            usage: RunUsage::default(),
        })
    }

    fn run(&self, text: &str, context: &Arc<Context>) -> Result<JobResult, RunError> {
        let script = self.load(text, &Purpose::Job);
        on_stack(|| script.run(None, &[], context))
    }
}

fn on_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

#[test]
fn every_run_is_cancelled_at_once() {
    let bench = Bench::new();
    for text in [
        "loop {}",
        "let n = 0; loop { try { [1].for_each(|x| { loop { n += x } }) } catch {} }",
        "sleep(1000)",
        "loop { try { [1].for_each(|x| sleep(1000)) } catch {} }",
        "fn f(n) { loop { if n > 0 { f(n - 1) } } } f(20)",
    ] {
        let context = bench.context(Duration::from_secs(600));
        let cancel = context.cancel.clone();
        let cancelling = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let ended = bench.run(text, &context);
        cancelling.join().unwrap();
        assert!(matches!(ended, Err(RunError::Stopped(Stop::Cancelled, _))), "{text}: {ended:?}");
    }
}

#[test]
fn a_stopped_run_reports_its_location_and_the_reason() {
    let bench = Bench::new();
    let ended = bench.run("let a = 1;\nfn spin() {\n  loop {}\n}\nspin();", &bench.context(Duration::from_millis(50)));
    let Err(RunError::Stopped(Stop::Deadline, fault)) = ended else { panic!("{ended:?}") };
    assert_eq!(fault.to_string(), "t.rhai:5:1: the run exceeded its timeout");
    assert_eq!((fault.kind.as_str(), fault.source_line.as_deref()), ("timeout", Some("spin();")));
    let ended = bench
        .run("let list = [];\nloop {\n  list.push(\"x\" + list.len());\n}", &bench.context(Duration::from_secs(60)));
    let Err(RunError::Stopped(_, fault)) = ended else { panic!("{ended:?}") };
    assert_eq!(fault.location.line, 3, "{fault}");
}

#[test]
fn a_handler_gets_its_event_and_runs_fast() {
    let bench = Bench::new();
    let script = bench.load(
        r#"const LIMIT = 3; let names = ["a", "b"];
        fn over(n) { n > LIMIT }
        every("1s", |tick| { let n = tick.missed + 1; `${names[0]} ${over(n)} ${n}` });"#,
        &Purpose::Handlers,
    );
    assert_eq!(script.declarations[0].kind, "every");
    let payload = rhaid::value::Map::from([("missed".to_owned(), Value::Int(4))]);
    let event = Event::new(Timestamp::now(), "every 1s", payload);
    on_stack(|| {
        let context = bench.context(Duration::from_secs(60));
        assert_eq!(script.call(0, &event, &context).unwrap(), Value::from("a true 5"));
        let started = Instant::now();
        for _ in 0..1_000 {
            script.call(0, &event, &context).unwrap();
        }
        println!("{:?} a call", started.elapsed() / 1_000);
    });
}

#[test]
fn state_is_available_in_handlers_closures_and_functions() {
    let bench = Bench::new();
    let script = bench.load(
        r#"fn bump() { state.count += 1; state.nested.list.push(state.count); }
        every("1s", || {
            if !state.contains("count") { state.count = 0; state.nested = #{ list: [] }; }
            [1, 2].for_each(|index| { bump(); state.last = index; });
            [state.count, state.nested.list.len(), state["last"]]
        });"#,
        &Purpose::Handlers,
    );
    let event = Event::new(Timestamp::now(), "every 1s", rhaid::value::Map::new());
    let numbers = |values: [i64; 3]| Value::List(values.map(Value::Int).to_vec());
    for expected in [[2, 2, 1], [4, 4, 1]] {
        let context = bench.context(Duration::from_secs(60));
        let returned = on_stack(|| script.call(0, &event, &context));
        assert_eq!(returned.unwrap(), numbers(expected));
        bench.services.store.commit(&context.batch.lock()).unwrap();
    }
}
