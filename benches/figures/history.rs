//! Figures of storage: runs with and without state, commits, reads of state, run records, size on disk, start-up time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rhaid::config::Config;
use rhaid::effect::Effect;
use rhaid::runtime::Runtime;
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt;
use rhaid::services::store::{Batch, PayloadFidelity, RetentionPolicy, RunQuery, RunRecord, StateChange, Store, Timer};
use rhaid::value::{Map, Value};

use crate::folder;
use crate::in_process;

const SCRIPT: &str = r#"
on_event("plain", #{ mode: "parallel" }, |event| event.name);
on_event("keeps", #{ mode: "parallel" }, |event| { state.add("count", 1); event.name });
"#;

/// Number of sequential runs.
const RUNS: usize = 1_000;
/// Number of concurrent runs or commits.
const AT_ONCE: usize = 64;
const COMMITS: usize = 500;
const READS: usize = 100_000;
const ROWS: usize = 1_000_000;
const TIMERS: usize = 100_000;

pub(crate) async fn measure() {
    runs().await;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    commits(&open(folder.path()));
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let empty = start(folder.path()).await;
    records(&open(folder.path()), folder.path());
    let full = start(folder.path()).await;
    println!(
        "history: a start with {TIMERS} timers and {ROWS} run records takes {full:.0} ms, {:.1} times an empty one ({empty:.1} ms)",
        full / empty
    );
}

/// Opens a store as soon as the lock of its folder is free.
fn open(folder: &Path) -> Store {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match Store::open(folder) {
            Ok(store) => return store,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Measures runs with and without state, sequential and concurrent.
async fn runs() {
    let place = folder::folder([("a.rhai".to_owned(), SCRIPT.to_owned())]);
    let store = Store::open(&place.path().join("data")).expect("the folder is ours");
    let runtime = start_runtime(place.path(), store).await;
    let mut figures = Vec::new();
    for trigger in ["on_event plain", "on_event keeps"] {
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let started = Instant::now();
            fire(&runtime, trigger).await;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        let started = Instant::now();
        let some = (0..AT_ONCE).map(|_| async {
            for _ in 0..RUNS / AT_ONCE * 4 {
                fire(&runtime, trigger).await;
            }
        });
        futures_util::future::join_all(some).await;
        let rate = (RUNS / AT_ONCE * 4 * AT_ONCE) as f64 / started.elapsed().as_secs_f64();
        figures.push((in_process::percentile(&mut times, 50), rate));
    }
    runtime.stop().await;
    let [(plain, plain_rate), (keeps, keeps_rate)] = figures[..] else { return };
    println!(
        "history: a run takes {plain:.0} µs, one that changes state {keeps:.0} µs ({:.1} times); {AT_ONCE} concurrent ones make {plain_rate:.0} and \
         {keeps_rate:.0} runs/s",
        keeps / plain
    );
}

async fn fire(runtime: &Runtime, trigger: &str) {
    let fired = runtime.fire("a", Some(trigger), Value::Null).await.expect("there is such a trigger");
    assert_eq!(fired.outcome, "succeeded", "{fired:?}");
}

async fn start_runtime(folder: &Path, store: Store) -> Runtime {
    let mut config = Config::default_in(folder);
    config.limits.breaker = 1_000_000;
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let broker =
        mqtt::ConnectionSettings::new(&config.mqtt, nowhere, "bench".to_owned()).expect("the defaults are right");
    let services = Services::builder(Clock::system(TimeZone::UTC), store).brokers(vec![broker]).build();
    Runtime::start(Arc::new(config), services).await.expect("the scripts are right")
}

/// Measures commits of one thread, commits of many threads (group commit), and reads of state.
fn commits(store: &Store) {
    let commit = |number: usize| {
        let change =
            ("script:a".to_owned(), format!("key{}", number % 100), StateChange::Set(Value::Int(number as i64)));
        store.commit(&Batch { values: vec![change], ..Batch::default() }).expect("there is room");
    };
    let rate = |threads: usize, each: usize| {
        let started = Instant::now();
        std::thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(|| (0..each).for_each(commit))));
        });
        (threads * each) as f64 / started.elapsed().as_secs_f64()
    };
    let (alone, shared) = (rate(1, COMMITS), rate(AT_ONCE, COMMITS));
    println!(
        "history: {alone:.0} commits/s one after another, {shared:.0} of {AT_ONCE} threads ({:.0} times)",
        shared / alone
    );
    let started = Instant::now();
    for number in 0..READS {
        store.value("script:a", &format!("key{}", number % 100)).expect("the store is readable");
    }
    println!("history: a read of state takes {:.0} ns", started.elapsed().as_secs_f64() * 1e9 / READS as f64);
}

/// Returns the run record of a small handler.
fn record(number: usize) -> RunRecord {
    let at = Timestamp::from_microsecond(1_800_000_000_000_000 + number as i64 * 1_000).expect("it is in range");
    let payload = Map::from([
        ("topic".to_owned(), Value::from("freezer/1/temperature")),
        ("payload".to_owned(), Value::from(r#"{"celsius": -17.5}"#)),
        ("qos".to_owned(), Value::Int(0)),
    ]);
    RunRecord {
        id: format!("1m84kh0{number:08}"),
        script: format!("room{}", number % 20),
        version: 3,
        trigger: "mqtt_subscribe freezer/{id}/temperature".into(),
        event: "mqtt_subscribe freezer/1/temperature".into(),
        payload: payload.into(),
        fidelity: PayloadFidelity::Whole,
        attempt: 0,
        queued: at,
        started: Some(at),
        ended: at,
        outcome: if number.is_multiple_of(100) { "failed" } else { "succeeded" }.into(),
        why: None,
        effects: vec![Effect { deferred: true, ..Effect::new("state", "1 = -17.5") }],
    }
}

/// Measures the rate at which run records are written, their size on disk, and the time of a query.
fn records(store: &Store, folder: &Path) {
    store.set_retention(RetentionPolicy {
        rows: 2 * ROWS as u64,
        bytes: u64::MAX / 4,
        age: Duration::from_secs(86_400 * 365),
    });
    let mut slowest = Duration::ZERO;
    let started = Instant::now();
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(4_096) {
        for number in chunk {
            let pushed = Instant::now();
            store.record(record(*number));
            slowest = slowest.max(pushed.elapsed());
        }
        store.flush();
    }
    let rate = ROWS as f64 / started.elapsed().as_secs_f64();
    let due = Timestamp::from_second(4_000_000_000).expect("it is in range");
    let timer = |number: usize| Timer { owner: "a".into(), name: format!("t{number}"), due, data: Value::Null };
    for chunk in (0..TIMERS).collect::<Vec<_>>().chunks(10_000) {
        let timers_set = chunk.iter().copied().map(timer).collect();
        store.commit(&Batch { timers_set, ..Batch::default() }).expect("there is room");
    }
    let size = || {
        let files = std::fs::read_dir(folder).expect("the folder is ours").flatten();
        files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum::<u64>() as f64 / 1e6
    };
    let found = Instant::now();
    let found_records = store.runs(&RunQuery { script: Some("room0".into()), limit: 20, ..RunQuery::default() });
    let found = found.elapsed().as_secs_f64() * 1e3;
    println!(
        "history: {rate:.0} run records/s, enqueued in {slowest:.0?} at most; {:.0} MB on disk per million; the last 20 of one script in {found:.1} ms \
         ({} found)",
        size() * 1e6 / ROWS as f64,
        found_records.map_or(0, |records| records.len())
    );
}

/// Returns the start-up time of a rhaid without scripts on a data folder, in milliseconds.
async fn start(data: &Path) -> f64 {
    let place = folder::folder([]);
    let started = Instant::now();
    let store = Store::open(data).expect("the folder is ours");
    let runtime = start_runtime(place.path(), store).await;
    let took = started.elapsed().as_secs_f64() * 1e3;
    runtime.stop().await;
    took
}
