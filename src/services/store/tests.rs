//! Tests of the store with SQLite.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::effect::Effect;
use crate::event::TimerKey;
use crate::services::store::pending_runs::PendingRuns;
use crate::services::store::run_markers::RunMarkers;
use crate::services::store::sqlite::SqliteStorage;
use crate::services::store::storage::{RunHistory as _, Storage};
use crate::services::store::writer::WriterMode;
use crate::services::store::{
    Batch, Error, NamespaceSize, OutcomeFilter, PayloadFidelity, RetentionPolicy, RunListEntry, RunQuery, RunRecord,
    StateChange, StateEdit, Store, Timer, back_up,
};
use crate::value::{Value, map_of};

fn set(key: &str, value: impl Into<Value>) -> (String, String, StateChange) {
    ("script:a".into(), key.into(), StateChange::Set(value.into()))
}

fn add(key: &str, amount: impl Into<Value>) -> (String, String, StateChange) {
    ("script:a".into(), key.into(), StateChange::Add(amount.into()))
}

fn batch(values: impl IntoIterator<Item = (String, String, StateChange)>) -> Batch {
    Batch { values: values.into_iter().collect(), ..Batch::default() }
}

fn value(store: &Store, key: &str) -> Option<Value> {
    store.value("script:a", key).unwrap()
}

fn timer(name: &str, second: i64) -> Timer {
    let due = Timestamp::new(second, 123_456_789).unwrap();
    Timer { owner: "a".into(), name: name.into(), due, data: Value::Text("data".into()) }
}

fn run(number: usize, outcome: &str) -> RunRecord {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    RunRecord {
        id: format!("{number:06}"),
        script: if number.is_multiple_of(2) { "even" } else { "odd" }.into(),
        version: 3,
        trigger: "cron".into(),
        event: "cron * * * * *".into(),
        payload: Value::Map(map_of([("n".into(), Value::Int(1))])),
        fidelity: PayloadFidelity::Whole,
        attempt: 0,
        queued: at,
        started: Some(at),
        ended: at,
        outcome: outcome.into(),
        why: None,
        effects: vec![Effect::new("info", "hello")],
    }
}

fn outcomes(store: &Store) -> Vec<(String, String)> {
    let records = store.runs(&RunQuery { limit: 1000, ..RunQuery::default() }).unwrap();
    records.into_iter().map(|record| (record.id, record.outcome)).collect()
}

/// Offers quick successes of one second to the sample of the run history, each time as after a reload.
fn omit(store: &Store, runs: usize) {
    let (script, trigger): (Arc<str>, Arc<str>) = ("a".into(), "cron".into());
    for _ in 0..runs {
        store.omit(&script, &trigger, Timestamp::from_second(1_800_000_000).unwrap());
    }
}

/// Returns the number of omitted runs.
fn omitted(store: &Store) -> u64 {
    let entries = store.history(&RunQuery::default()).unwrap().into_iter();
    let counts = entries.map(|entry| match entry {
        RunListEntry::Omitted(omitted) => omitted.count,
        RunListEntry::Run(_) => 0,
    });
    counts.sum()
}

/// Waits until a condition is true.
#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "timed out");
        std::thread::yield_now();
    }
}

/// Opens a store, and returns the database beneath it as well.
fn open(folder: &Path) -> (Store, Arc<SqliteStorage>) {
    let database = Arc::new(SqliteStorage::open(folder).unwrap());
    let storage: Arc<dyn Storage> = database.clone();
    (Store::start(storage, WriterMode::WriterThread, RunMarkers::default(), None).unwrap(), database)
}

/// Executes a statement on the connection of the writer, after all writes before it.
fn pragma(store: &Store, database: &SqliteStorage, sql: &str) {
    store.flush();
    database.execute(sql);
}

#[test]
fn committed_data_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let nested = Value::Map(map_of([("list".into(), Value::List(vec![Value::Float(1.0), Value::Bytes(vec![7])]))]));
    let store = Store::open(folder.path()).unwrap();
    let both = Batch { timers_set: vec![timer("nag", 5)], ..batch([set("b", 1), set("a", nested.clone())]) };
    store.commit(&both).unwrap();
    store.set_metadata("disabled:x", Some(Value::Bool(true)));
    store.record(run(1, "failed"));
    drop(store);

    let store = Store::open(folder.path()).unwrap();
    assert_eq!(value(&store, "a"), Some(nested));
    assert_eq!(store.keys("script:a").unwrap(), ["a", "b"]);
    assert_eq!(store.keys("script:b").unwrap(), [] as [&str; 0]);
    assert_eq!(store.timers().unwrap(), [timer("nag", 5)]);
    assert_eq!(store.metadata("disabled:x"), Some(Value::Bool(true)));
    let records = store.runs(&RunQuery::default()).unwrap();
    assert_eq!(format!("{records:?}"), format!("{:?}", [run(1, "failed")]));
}

#[test]
fn changes_of_a_batch_apply_in_order() {
    let store = Store::in_memory().unwrap();
    let remove = ("script:a".to_owned(), "n".to_owned(), StateChange::Remove);
    store.commit(&batch([add("n", 1), set("n", 10), add("n", 2), add("m", 0.5), add("m", 1)])).unwrap();
    assert_eq!((value(&store, "n"), value(&store, "m")), (Some(Value::Int(12)), Some(Value::Float(1.5))));
    store.commit(&batch([set("n", 1), remove.clone(), add("n", 3)])).unwrap();
    assert_eq!(value(&store, "n"), Some(Value::Int(3)));
    store.commit(&batch([remove])).unwrap();
    assert_eq!(value(&store, "n"), None);
}

#[test]
fn a_failed_batch_has_no_effect_and_leaves_others_intact() {
    let store = Store::in_memory().unwrap();
    store.commit(&batch([set("text", "x"), set("big", i64::MAX)])).unwrap();
    let good = |n: i64| batch([add("good", 1), set(&format!("good{n}"), n)]);
    std::thread::scope(|scope| {
        for n in 0..20 {
            let store = &store;
            scope.spawn(move || store.commit(&good(n)).unwrap());
            scope.spawn(move || store.commit(&batch([set("bad", n), add("text", 1)])).unwrap_err());
        }
    });
    assert_eq!(value(&store, "good"), Some(Value::Int(20)));
    assert_eq!(store.keys("script:a").unwrap().len(), 23);
    assert_eq!(value(&store, "bad"), None);
    let error = |changes| store.commit(&batch([changes])).unwrap_err().to_string();
    assert_eq!(error(add("text", 1)), "`text` of script:a is text: it must be a number");
    assert_eq!(error(add("good", "x")), "text cannot be added to `good`: write a number");
    assert_eq!(error(add("big", 1)), "adding 1 to `big` (9223372036854775807) exceeds the range of integers");
}

#[test]
fn values_that_could_not_be_read_back_are_refused() {
    let store = Store::in_memory().unwrap();
    let nested = |levels| (1..levels).fold(Value::Bytes(vec![1]), |inner, _| Value::List(vec![inner]));
    store.commit(&batch([set("deep", nested(127))])).unwrap();
    assert_eq!(value(&store, "deep"), Some(nested(127)));
    let error = store.commit(&batch([set("deep", nested(128)), set("n", 1)])).unwrap_err().to_string();
    assert_eq!(error, "`deep` is nested more than 127 levels deep: store a flatter value");
    assert_eq!((value(&store, "deep"), value(&store, "n")), (Some(nested(127)), None));
}

#[test]
fn adding_from_many_threads_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| store.commit(&batch([add("n", 1)])).unwrap()));
        }
    });
    assert_eq!(value(&store, "n"), Some(Value::Int(400)));
}

#[test]
fn a_timer_is_acknowledged_only_with_its_deadline() {
    let store = Store::in_memory().unwrap();
    let key = |second| TimerKey { owner: "a".into(), name: "nag".into(), due: timer("nag", second).due };
    let done =
        |second, set: Vec<Timer>| Batch { acknowledged_timers: vec![key(second)], timers_set: set, ..Batch::default() };
    store.commit(&done(1, vec![timer("nag", 5)])).unwrap();
    store.commit(&done(4, vec![])).unwrap();
    assert_eq!(store.timers().unwrap(), [timer("nag", 5)]);
    store.commit(&done(5, vec![timer("nag", 9)])).unwrap();
    assert_eq!(store.timer("a", "nag").unwrap(), Some(timer("nag", 9)));
    store.acknowledge_timer(&key(9));
    store.flush();
    assert_eq!(store.timer("a", "nag").unwrap(), None);
    let cancelled = Batch { timers_cancelled: vec![("a".into(), "nag".into())], ..Batch::default() };
    store.commit(&done(9, vec![timer("nag", 10)])).unwrap();
    store.commit(&cancelled).unwrap();
    assert_eq!(store.timers().unwrap(), []);
}

#[test]
fn versions_count_up_across_restarts_and_unchanged_files_keep_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let files = |text: &str| vec![("a.rhai".to_owned(), text.to_owned()), ("_lib/m.rhai".to_owned(), "m".to_owned())];
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.accepted_version("a").unwrap(), None);
    assert_eq!(store.accept_version("a", &files("1")).unwrap(), 1);
    assert_eq!(store.accept_version("a", &files("1")).unwrap(), 1);
    assert_eq!(store.accept_version("a", &files("2")).unwrap(), 2);
    assert_eq!(store.accept_version("b", &files("1")).unwrap(), 1);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.accept_version("a", &files("2")).unwrap(), 2);
    let kept = store.accepted_version("a").unwrap().unwrap();
    assert_eq!((kept.version, kept.files), (2, files("2")));
    store.forget_version("a").unwrap();
    assert_eq!(store.accepted_version("a").unwrap(), None);
    assert_eq!(store.accept_version("a", &files("2")).unwrap(), 3);
}

#[test]
fn a_second_holder_is_refused_at_once_with_the_process_id_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let Err(Error::InUse { folder: name, holder }) = Store::open(folder.path()) else { panic!("not refused") };
    assert_eq!((name, holder), (folder.path().display().to_string(), std::process::id().to_string()));
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[cfg(unix)]
#[test]
fn the_folder_and_its_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/data");
    let store = Store::open(&folder).unwrap();
    store.commit(&batch([set("n", 1)])).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{file:?}"));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_corrupt_database_is_renamed_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rhaid.db");
    for garbage in [b"this is no database".repeat(500), vec![0xff; 20]] {
        fs::write(&file, &garbage).unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.commit(&batch([set("n", 1)])).unwrap();
        drop(store);
        let renamed: Vec<_> = names(folder.path()).into_iter().filter(|name| name.contains(".unreadable-")).collect();
        let kept = renamed.iter().any(|name| fs::read(folder.path().join(name)).unwrap() == garbage);
        assert!(kept, "{renamed:?}");
    }
    assert_eq!(names(folder.path()).iter().filter(|name| name.contains(".unreadable-")).count(), 2);
}

#[test]
fn damaged_pages_of_the_state_are_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    store.commit(&batch((0..500).map(|n| set(&format!("key{n}"), "x".repeat(200))))).unwrap();
    pragma(&store, &database, "PRAGMA wal_checkpoint(TRUNCATE)");
    drop((store, database));
    let file = folder.path().join("rhaid.db");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 20_000;
    bytes[last..].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.keys("script:a").unwrap(), [] as [&str; 0]);
    assert_eq!(names(folder.path()).iter().filter(|name| name.contains(".unreadable-")).count(), 1);
}

#[test]
fn a_database_of_a_newer_rhaid_is_refused_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    pragma(&store, &database, "PRAGMA user_version = 99");
    drop((store, database));
    let error = Store::open(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with("update rhaid, or give another data folder"), "{error}");
    assert!(error.contains("version 99"), "{error}");
    assert!(!names(folder.path()).iter().any(|name| name.contains("unreadable")));
}

#[test]
fn a_full_disk_fails_the_commit_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    store.commit(&batch([set("n", 1)])).unwrap();
    pragma(&store, &database, "PRAGMA max_page_count = 40");
    let error = store.commit(&batch([set("n", 2), set("big", "x".repeat(1 << 20))])).unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!((value(&store, "n"), value(&store, "big")), (Some(Value::Int(1)), None));
    store.commit(&batch([set("n", 3)])).unwrap();
    pragma(&store, &database, "PRAGMA max_page_count = 100000");
    store.commit(&batch([set("big", "x".repeat(1 << 20))])).unwrap();
    assert_eq!((value(&store, "n")), Some(Value::Int(3)));
}

#[test]
fn a_commit_that_exceeds_the_disk_does_not_fail_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    store.commit(&batch([set("n", 0)])).unwrap();
    pragma(&store, &database, "PRAGMA max_page_count = 60");
    let failed = std::thread::scope(|scope| {
        let small = (0..20).map(|_| scope.spawn(|| store.commit(&batch([add("n", 1)])).is_err())).collect::<Vec<_>>();
        let big = (0..5).map(|_| scope.spawn(|| store.commit(&batch([set("big", "x".repeat(1 << 20))])).is_err()));
        let big: Vec<_> = big.collect();
        let failed = |threads: Vec<std::thread::ScopedJoinHandle<'_, bool>>| {
            threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
        };
        (failed(small), failed(big))
    });
    assert_eq!(failed, (0, 5));
    assert_eq!(value(&store, "n"), Some(Value::Int(20)));
}

#[test]
fn run_records_and_metadata_wait_while_the_disk_is_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    pragma(&store, &database, "PRAGMA query_only = on");
    let error = store.commit(&batch([set("n", 2)])).unwrap_err().to_string();
    assert!(error.contains("read-only"), "{error}");
    (0..3).for_each(|number| store.record(run(number, "failed")));
    store.set_metadata("last:x", Some(Value::Int(1)));
    omit(&store, 51);
    assert_eq!((outcomes(&store).len(), omitted(&store)), (3, 1));
    pragma(&store, &database, "PRAGMA query_only = off");
    store.flush();
    assert_eq!((outcomes(&store).len(), omitted(&store)), (3, 1));
    drop((store, database));
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((outcomes(&store).len(), omitted(&store)), (3, 1));
    assert_eq!(store.metadata("last:x"), Some(Value::Int(1)));
}

#[test]
fn records_and_counts_are_written_without_a_flush_also_after_the_writer_found_no_work() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    let counted = || {
        let omitted = database.omitted(&RunQuery::default(), Timestamp::MIN).unwrap();
        omitted.iter().map(|omitted| omitted.count).sum::<u64>()
    };
    for (round, count) in [(1, 10), (2, 20)] {
        store.record(run(round, "succeeded"));
        wait_until(|| database.list(&RunQuery::default(), None, 10).unwrap().records.len() == round);
        wait_until(|| !store.shared().is_scheduled.load(Ordering::SeqCst));
        omit(&store, 60);
        wait_until(|| counted() == count);
        wait_until(|| !store.shared().is_scheduled.load(Ordering::SeqCst));
    }
}

#[test]
fn run_records_are_listed_newest_first_by_script_and_outcome() {
    let store = Store::in_memory().unwrap();
    for (number, outcome) in ["succeeded", "failed", "timed out", "skipped", "failed"].into_iter().enumerate() {
        store.record(run(number, outcome));
    }
    let ids = |script: Option<&str>, only, limit| {
        let query = RunQuery { script: script.map(str::to_owned), only, limit, ..RunQuery::default() };
        store.runs(&query).unwrap().into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let failed = Some(OutcomeFilter::Failed);
    assert_eq!(ids(None, None, 3), ["000004", "000003", "000002"]);
    assert_eq!(ids(None, failed, 0), ["000004", "000002", "000001"]);
    assert_eq!(ids(None, Some(OutcomeFilter::Skipped), 0), ["000003"]);
    assert_eq!(ids(Some("even"), failed, 0), ["000004", "000002"]);
    assert_eq!(ids(Some("odd"), None, 0), ["000003", "000001"]);
    let since = Some(Timestamp::from_second(1_800_000_001).unwrap());
    assert!(store.runs(&RunQuery { since, ..RunQuery::default() }).unwrap().is_empty());
    let trigger = Some("every".to_owned());
    assert!(store.runs(&RunQuery { trigger, ..RunQuery::default() }).unwrap().is_empty());
    assert_eq!(store.run("04").unwrap().unwrap().id, "000004");
    assert!(store.run("9").unwrap().is_none());
}

#[test]
fn a_record_with_a_too_deeply_nested_payload_is_listed_without_it() {
    let store = Store::in_memory().unwrap();
    let payload = (0..200).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    store.record(run(1, "failed"));
    store.record(RunRecord { payload, ..run(2, "failed") });
    let records = store.runs(&RunQuery::default()).unwrap();
    assert_eq!(
        records.iter().map(|record| (record.id.as_str(), &record.payload)).next(),
        Some(("000002", &Value::Null))
    );
    assert_eq!(records.len(), 2);
}

#[test]
fn low_priority_records_never_evict_failures() {
    let store = Store::in_memory().unwrap();
    store.set_retention(RetentionPolicy { rows: 40, ..RetentionPolicy::default() });
    (0..10).for_each(|number| store.record(run(number, "failed")));
    for number in 10..500 {
        store.record(run(number, if number % 3 == 0 { "skipped" } else { "succeeded" }));
        if number % 50 == 0 {
            store.flush();
        }
    }
    let records = outcomes(&store);
    assert_eq!(records.len(), 40);
    assert_eq!(records.iter().filter(|(_, outcome)| outcome == "failed").count(), 10);
    assert!(records.iter().any(|(id, _)| id == "000499"));

    (500..600).for_each(|number| store.record(run(number, "failed")));
    let records = outcomes(&store);
    assert_eq!(records.len(), 40);
    assert_eq!(records.iter().filter(|(_, outcome)| outcome == "failed").count(), 20);
    assert_eq!(records[0].0, "000599");
}

#[test]
fn a_busy_trigger_never_evicts_the_records_of_a_quiet_one() {
    let store = Store::in_memory().unwrap();
    store.set_retention(RetentionPolicy { rows: 100, ..RetentionPolicy::default() });
    let of = |trigger: &str, row: RunRecord| RunRecord { trigger: trigger.into(), ..row };
    (0..20).for_each(|number| store.record(of("quiet", run(number, "succeeded"))));
    store.record(of("quiet", run(20, "failed")));
    for number in 21..2_000 {
        store.record(of("busy", run(number, if number % 2 == 0 { "failed" } else { "succeeded" })));
        if number % 100 == 0 {
            store.flush();
        }
    }
    let records = store.runs(&RunQuery { limit: 1_000, ..RunQuery::default() }).unwrap();
    assert_eq!(records.len(), 100);
    assert_eq!(records.iter().filter(|record| record.trigger == "quiet").count(), 21);
    assert_eq!(records[0].id, "001999");
}

#[test]
fn the_run_history_keeps_to_its_size_and_age() {
    let folder = tempfile::tempdir().unwrap();
    let long = || RunRecord { why: Some("x".repeat(10_000)), ..run(1, "failed") };
    let size = || std::fs::metadata(folder.path().join("rhaid.db")).unwrap().len();
    let keep = RetentionPolicy { bytes: 1 << 20, ..RetentionPolicy::default() };
    let store = Store::open(folder.path()).unwrap();
    store.set_retention(keep);
    for _ in 0..20 {
        (0..50).for_each(|_| store.record(long()));
        store.flush();
    }
    let records = store.runs(&RunQuery { limit: 1_000, ..RunQuery::default() }).unwrap();
    assert!((90..=105).contains(&records.len()), "{}", records.len());
    drop(store);
    assert!(size() < 4 << 20, "{}", size());

    let store = Store::open(folder.path()).unwrap();
    store.set_retention(RetentionPolicy { age: Duration::from_secs(3_600), ..keep });
    let later = Timestamp::from_second(1_800_000_000 + 3_601).unwrap();
    store.record(RunRecord { ended: later, ..run(2, "succeeded") });
    assert_eq!(outcomes(&store), [("000002".to_owned(), "succeeded".to_owned())]);
}

#[test]
fn a_burst_of_records_keeps_failures_and_never_blocks() {
    let pending = PendingRuns::default();
    pending.push(run(0, "failed").into());
    (1..30_000).for_each(|number| {
        pending.push(run(number, "succeeded").into());
    });
    let records = pending.take(usize::MAX);
    assert!(records.len() <= 8192);
    assert_eq!(records[0].decode().unwrap().outcome, "failed");
    assert_eq!(records.back().unwrap().id, "029999");
    assert_eq!(pending.take_dropped() + records.len() as u64, 30_000);
}

#[test]
fn a_read_of_a_loaded_namespace_executes_no_sql() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) = open(folder.path());
    store.commit(&batch([set("n", 1)])).unwrap();
    assert_eq!(value(&store, "n"), Some(Value::Int(1)));
    store.commit(&batch([add("n", 2), set("text", "x")])).unwrap();
    store
        .edit(&StateEdit { values: vec![("script:a".into(), "text".into(), Value::Null)], ..StateEdit::default() })
        .unwrap();
    pragma(&store, &database, "ALTER TABLE state RENAME TO hidden");
    assert_eq!((value(&store, "n"), value(&store, "text")), (Some(Value::Int(3)), None));
    assert_eq!(store.keys("script:a").unwrap(), ["n"]);
    assert!(store.value("script:b", "n").is_err(), "only loaded namespaces are cached");
    store.commit(&batch([set("n", 9)])).unwrap_err();
    assert_eq!(value(&store, "n"), Some(Value::Int(3)), "a failed commit does not change the cache");
    pragma(&store, &database, "ALTER TABLE hidden RENAME TO state");
    assert_eq!(store.values("script:a").unwrap(), map_of([("n".into(), Value::Int(3))]));
}

#[test]
fn every_thread_reads_its_own_commits_and_the_cache_equals_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let store = &store;
            scope.spawn(move || {
                for n in 1..=30 {
                    // Each namespace is first read while other threads commit to it.
                    let namespace = format!("shared:{}", n % 7);
                    let own = format!("own{thread}");
                    let change = |key: &str, change| (namespace.clone(), key.to_owned(), change);
                    let values = vec![
                        change(&own, StateChange::Set(Value::Int(n))),
                        change("all", StateChange::Add(Value::Int(1))),
                    ];
                    store.commit(&Batch { values, ..Batch::default() }).unwrap();
                    assert_eq!(store.value(&namespace, &own).unwrap(), Some(Value::Int(n)));
                }
            });
        }
    });
    for namespace in store.namespaces().unwrap() {
        for (key, stored) in store.values(&namespace.name).unwrap() {
            assert_eq!(store.value(&namespace.name, &key).unwrap(), Some(stored), "{key} of {}", namespace.name);
        }
    }
    let counts = (0..7).map(|n| store.value(&format!("shared:{n}"), "all").unwrap());
    assert_eq!(counts.map(|count| count.map_or(0, |count| count.to_json().as_i64().unwrap())).sum::<i64>(), 6 * 30);
}

#[test]
fn values_of_a_large_namespace_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&batch((0..1000).map(|n| set(&format!("key{n}"), n)))).unwrap();
    for n in 0..200 {
        assert_eq!(value(&store, &format!("key{n}")), Some(Value::Int(n)));
    }
}

/// Body of the child process that [`a_killed_process_leaves_whole_batches_and_all_acknowledged_ones`] kills; not a test of its own.
#[test]
#[ignore = "started by another test"]
fn commits_until_killed() {
    let Ok(folder) = std::env::var("RHAID_TEST_KILLED_IN") else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    let Some(Value::Int(start)) = value(&store, "a").or(Some(Value::Int(0))) else { panic!("no number") };
    for n in start + 1.. {
        let both = Batch { timers_set: vec![timer("t", n)], ..batch([add("a", 1), set("b", n)]) };
        store.commit(&both).unwrap();
        store.record(run(usize::try_from(n).unwrap(), "succeeded"));
        writeln!(std::io::stdout(), "acknowledged {n}").unwrap();
    }
}

#[test]
fn a_killed_process_leaves_whole_batches_and_all_acknowledged_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "services::store::tests::commits_until_killed", "--ignored", "--nocapture"])
            .env("RHAID_TEST_KILLED_IN", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.by_ref().map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        for number in numbers.take(10 + 7 * round) {
            acknowledged = number;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let more =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).last();
        acknowledged = more.unwrap_or(acknowledged);

        let store = Store::open(folder.path()).unwrap();
        let Some(Value::Int(n)) = value(&store, "a") else { panic!("nothing kept") };
        assert!(n == acknowledged || n == acknowledged + 1, "{n} kept, {acknowledged} acknowledged");
        assert_eq!(value(&store, "b"), Some(Value::Int(n)));
        assert_eq!(store.timers().unwrap(), [timer("t", n)]);
    }
    assert!(acknowledged >= 40, "{acknowledged}");
}

#[test]
fn a_manual_edit_of_state_applies_as_a_whole() {
    let store = Store::in_memory().unwrap();
    store.commit(&batch([set("n", 1_i64), set("text", "ä")])).unwrap();
    let space = NamespaceSize { name: "script:a".into(), values: 2, bytes: 1 + 1 + 4 + 4 };
    assert_eq!(store.namespaces().unwrap(), [space]);
    let edit = |values: Vec<(&str, &str, Value)>, cleared: &[&str]| {
        let values = values.into_iter().map(|(space, key, value)| (space.into(), key.into(), value)).collect();
        store.edit(&StateEdit { cleared: cleared.iter().map(|&space| space.into()).collect(), values })
    };
    edit(
        vec![("script:a", "n", Value::Float(1.5)), ("script:a", "text", Value::Null), ("shared:h", "x", true.into())],
        &[],
    )
    .unwrap();
    assert_eq!(store.values("script:a").unwrap(), map_of([("n".into(), Value::Float(1.5))]));
    edit(vec![("script:a", "new", Value::Int(1))], &["script:a"]).unwrap();
    assert_eq!(store.keys("script:a").unwrap(), ["new"]);
    let wrong = edit(vec![("script:a", "good", Value::Int(1)), ("a", "bad", Value::Int(2))], &["shared:h"]);
    assert!(wrong.unwrap_err().to_string().contains("write `script:NAME` or `shared:NAMESPACE`"));
    assert_eq!(
        (store.keys("script:a").unwrap(), store.keys("shared:h").unwrap()),
        (vec!["new".into()], vec!["x".into()])
    );
}

#[test]
fn a_backup_made_during_writes_is_consistent_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy.db"));
    let store = Store::open(&data).unwrap();
    let writer = store.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    // Both values are always written together, so they are equal in every copy.
    let busy = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writer.commit(&batch([add("one", 1_i64), add("two", 1_i64)])).unwrap();
        }
    });
    let mut last = 0;
    for round in 0..5 {
        while !matches!(value(&store, "one"), Some(Value::Int(n)) if n > last) {
            std::thread::yield_now();
        }
        back_up(&data, &copy).unwrap();
        let restored = folder.path().join(format!("restored{round}"));
        fs::create_dir(&restored).unwrap();
        fs::copy(&copy, restored.join("rhaid.db")).unwrap();
        let copied = Store::open(&restored).unwrap();
        let (one, two) = (value(&copied, "one").unwrap(), value(&copied, "two").unwrap());
        assert_eq!(one, two);
        let Value::Int(now) = one else { panic!("{one:?}") };
        assert!(now > last, "{now} is older than {last}");
        last = now;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
    drop(store);
    assert!(back_up(&data, &copy).unwrap() > 0, "without a running process");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&copy).unwrap()) & 0o777, 0o600);
    assert!(!folder.path().join("copy.db.part").exists());
}

#[test]
fn a_backup_overwrites_only_an_older_backup() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("rhaid.yaml");
    fs::write(&other, "log: { level: info }").unwrap();
    let data = folder.path().join("data");
    assert!(back_up(&data, &other).unwrap_err().to_string().contains("there is no database in "));
    drop(Store::open(&data).unwrap());
    assert!(back_up(&data, &other).unwrap_err().to_string().contains("it is not overwritten"));
    assert_eq!(fs::read_to_string(&other).unwrap(), "log: { level: info }");
    assert!(back_up(&data, folder.path()).unwrap_err().to_string().contains("name a file in it"));
}
