//! The time of one handler call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rhaid::config::{Config, Level};
use rhaid::event::Event;
use rhaid::functions::{Context, RunLog, RunUsage};
use rhaid::runtime::FolderSources;
use rhaid::script::{Purpose, Script};
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt;
use rhaid::services::store::{Batch, Store};
use rhaid::triggers::TriggerContext;
use rhaid::value::Map;
use serde_json::Value as Json;

use crate::in_process;

const SCRIPT: &str = r#"
const LIMIT = 21.5;
on_event("empty", || ());
on_event("small", |event| {
    let celsius = event.data.celsius;
    let text = `it has ${celsius} degrees`;
    if celsius > LIMIT { text += ", which is warm"; }
    text.len()
});
on_event("loop", || {
    let sum = 0;
    for i in 0..1000 { sum += i % 7; }
    sum
});
"#;

/// A run log that discards everything.
struct DiscardLog;

impl RunLog for DiscardLog {
    fn log_line(&self, _: Level, _: &str, _: &serde_json::Map<String, Json>) {}
    fn record_effect(&self, _: rhaid::effect::RawEffect) {}
}

/// The calls of one round; the median round counts.
const CALLS: usize = 2_000;
const ROUNDS: usize = 21;

pub(crate) fn measure() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    std::fs::write(folder.path().join("a.rhai"), SCRIPT).expect("the folder is ours");
    let config = Arc::new(Config::default_in(folder.path()));
    let zone = jiff::tz::TimeZone::UTC;
    let trigger_context = TriggerContext {
        zone: zone.clone(),
        location: None,
        brokers: std::sync::Arc::default(),
        base: folder.path().into(),
    };
    let sources = Arc::new(FolderSources::new(folder.path(), 1 << 20));
    let script =
        Script::load("a.rhai", &Purpose::Handlers, sources, &config, &trigger_context).unwrap_or_else(|faults| {
            panic!("{}", faults[0].report());
        });
    let tokio = tokio::runtime::Runtime::new().expect("there are threads");
    let _guard = tokio.enter();
    let broker = mqtt::ConnectionSettings::new(&config.mqtt, SocketAddr::from(([127, 0, 0, 1], 1)), "bench".into());
    let store = Store::in_memory().expect("there is room for a store");
    let services =
        Services::builder(Clock::system(zone), store).brokers(vec![broker.expect("the defaults are right")]).build();
    let data = Map::from([("celsius".to_owned(), 22.0.into())]);
    let payload = Map::from([("data".to_owned(), data.into())]);
    let event = Event::new(services.clock.now(), "bench", payload);
    let context = || {
        Arc::new(Context {
            script: "a".into(),
            services: services.clone().into(),
            config: config.clone(),
            runtime: tokio.handle().clone(),
            cancel: tokio_util::sync::CancellationToken::new(),
            deadline: Instant::now() + Duration::from_secs(30),
            virtual_deadline: None,
            batch: Mutex::new(Batch::default()),
            earlier_runs: None,
            pending_writes: None,
            hops: 0,
            run_log: Arc::new(DiscardLog),
            is_dry_run: false,
            usage: RunUsage::default(),
        })
    };
    for (handler, name) in ["empty", "small", "loop of 1,000"].iter().enumerate() {
        let mut rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let contexts: Vec<_> = (0..CALLS).map(|_| context()).collect();
                let start = Instant::now();
                for context in &contexts {
                    script.call(handler, &event, context).expect("it is right");
                }
                start.elapsed().as_secs_f64() * 1e6 / CALLS as f64
            })
            .collect();
        println!("call: {name}: {:.2} µs", in_process::percentile(&mut rounds, 50));
    }
}
