//! Conformance tests: what every implementation of [`Storage`] and [`RunHistory`](crate::services::store::RunHistory) must do.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::TimerKey;
use crate::services::store::{
    AppendRuns, Batch, DeferredWrites, Durability, EncodedBatch, Error, EventDelivery, OmittedRuns, OutboxChange,
    OutboxRecord, OutcomeFilter, PayloadFidelity, RetentionPolicy, RunQuery, RunRecord, StateChange, Storage, Timer,
    Write, WriteOutcome,
};
use crate::value::{Value, map_of};

/// Name of a promise, and its test.
type Case = (&'static str, fn(&dyn Storage));

/// All tests that run on an empty database.
const CASES: &[Case] = &[
    ("an empty database is empty", an_empty_database_is_empty),
    ("changes of state apply in order", changes_of_state_apply_in_order),
    ("a failed write leaves the rest of its group intact", a_failed_write_leaves_the_rest_of_its_group_intact),
    ("namespaces are separate and measured", namespaces_are_separate_and_measured),
    ("stored values keep their types", stored_values_keep_their_types),
    ("timers are set, cancelled and acknowledged", timers_are_set_cancelled_and_acknowledged),
    ("events are stored until acknowledged or expired", events_are_stored_until_acknowledged_or_expired),
    ("version numbers are never used twice", version_numbers_are_never_used_twice),
    ("outbox queues are separate and ordered", outbox_queues_are_separate_and_ordered),
    ("metadata is replaced and deleted", metadata_is_replaced_and_deleted),
    ("runs are listed by filter and cursor", runs_are_listed_by_filter_and_cursor),
    ("retention keeps failures and quiet triggers", retention_keeps_failures_and_quiet_triggers),
    ("counts of omitted runs are added up and listed by filter", counts_are_added_up_and_listed_by_filter),
    ("retention limits the counts of omitted runs", retention_limits_the_counts_of_omitted_runs),
    ("reads run beside writes", reads_run_beside_writes),
];

/// Runs all tests, each on a database that `open` creates.
pub(super) fn check<S: Storage>(open: impl Fn() -> S) {
    for (name, case) in CASES {
        let storage = open();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&storage)));
        assert!(checked.is_ok(), "not conformant: {name}");
    }
}

/// Checks that synced writes are there after the database was closed and opened again.
pub(super) fn check_durability<S: Storage>(open: impl Fn() -> S) {
    let storage = open();
    let batch = Batch {
        values: vec![set("n", 1)],
        timers_set: vec![timer("nag", 5)],
        event_deliveries: vec![delivery(7)],
        ..Batch::default()
    };
    let deferred = DeferredWrites { metadata: vec![("key".into(), Some(Value::Int(2)))], ..DeferredWrites::default() };
    let outbox = Write::Outbox { queue: "q".into(), changes: vec![OutboxChange::Insert(message(1))] };
    let version = Write::AcceptVersion { script: "a".into(), files: files("1") };
    let runs = append(0..3, RetentionPolicy::default());
    write(&storage, vec![commit(&batch), version, outbox, Write::Deferred(deferred), runs]);
    drop(storage);

    let storage = open();
    assert_eq!(value(&storage, "n"), Some(Value::Int(1)));
    assert_eq!(storage.timers().unwrap(), [timer("nag", 5)]);
    assert_eq!(storage.event_deliveries().unwrap(), [delivery(7)]);
    assert_eq!(storage.outbox("q").unwrap(), [message(1)]);
    assert_eq!(storage.accepted_version("a").unwrap().unwrap().files, files("1"));
    let snapshot = storage.load().unwrap();
    assert_eq!((snapshot.metadata.get("key"), snapshot.newest_event), (Some(&Value::Int(2)), 7));
    assert_eq!(storage.list(&RunQuery::default(), None, 10).unwrap().records.len(), 3);
}

fn set(key: &str, value: impl Into<Value>) -> (String, String, StateChange) {
    ("script:a".into(), key.into(), StateChange::Set(value.into()))
}

fn add(key: &str, amount: impl Into<Value>) -> (String, String, StateChange) {
    ("script:a".into(), key.into(), StateChange::Add(amount.into()))
}

fn remove(key: &str) -> (String, String, StateChange) {
    ("script:a".into(), key.into(), StateChange::Remove)
}

fn commit(batch: &Batch) -> Write {
    Write::Commit(EncodedBatch::new(batch).unwrap())
}

fn change(values: Vec<(String, String, StateChange)>) -> Write {
    commit(&Batch { values, ..Batch::default() })
}

fn results(storage: &dyn Storage, writes: Vec<Write>) -> Vec<Result<WriteOutcome, Error>> {
    storage.write(&writes, Durability::Synced).map_err(|failed| failed.error).unwrap()
}

fn write(storage: &dyn Storage, writes: Vec<Write>) -> Vec<WriteOutcome> {
    results(storage, writes).into_iter().collect::<Result<_, _>>().unwrap()
}

fn value(storage: &dyn Storage, key: &str) -> Option<Value> {
    storage.value("script:a", key).unwrap()
}

fn timer(name: &str, second: i64) -> Timer {
    let due = Timestamp::new(second, 123_456_789).unwrap();
    Timer { owner: "a".into(), name: name.into(), due, data: Value::Text("data".into()) }
}

fn key(name: &str, second: i64) -> TimerKey {
    TimerKey { owner: "a".into(), name: name.into(), due: timer(name, second).due }
}

fn delivery(number: u64) -> EventDelivery {
    EventDelivery {
        number,
        listener: "a".into(),
        listener_index: 1,
        name: "door".into(),
        data: Value::List(vec![Value::Float(1.5)]),
        from: "b".into(),
        hops: 2,
    }
}

fn message(number: u64) -> OutboxRecord {
    OutboxRecord {
        number,
        topic: "t".into(),
        payload: vec![0, 255],
        qos: 2,
        retain: true,
        properties: "[]".into(),
        packet: None,
        received: false,
    }
}

fn files(text: &str) -> Vec<(String, String)> {
    vec![("a.rhai".into(), text.into()), ("_lib/m.rhai".into(), "m".into())]
}

fn run(number: u64, trigger: &str, outcome: &str) -> RunRecord {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    RunRecord {
        id: format!("{number:06}"),
        script: if number.is_multiple_of(2) { "even" } else { "odd" }.into(),
        version: 3,
        trigger: trigger.into(),
        event: "cron * * * * *".into(),
        payload: Value::Int(1),
        fidelity: PayloadFidelity::Masked,
        attempt: 1,
        queued: at,
        started: None,
        ended: at,
        outcome: outcome.into(),
        why: Some("why".into()),
        effects: Vec::new(),
    }
}

fn append(numbers: std::ops::Range<u64>, retention: RetentionPolicy) -> Write {
    append_runs(numbers.map(|number| run(number, "cron", "succeeded")).collect(), retention)
}

fn append_runs(records: VecDeque<RunRecord>, retention: RetentionPolicy) -> Write {
    let records = records.into_iter().map(Into::into).collect();
    Write::AppendRuns(AppendRuns { records, retention, ..AppendRuns::default() })
}

fn an_empty_database_is_empty(storage: &dyn Storage) {
    let snapshot = storage.load().unwrap();
    assert!(snapshot.metadata.is_empty());
    assert_eq!(snapshot.newest_event, 0);
    assert_eq!(storage.namespace("script:a", 0).unwrap(), Some(map_of::<String, _>([])));
    assert_eq!(value(storage, "n"), None);
    assert!(storage.keys("script:a").unwrap().is_empty() && storage.namespaces().unwrap().is_empty());
    assert!(storage.timers().unwrap().is_empty() && storage.timer("a", "nag").unwrap().is_none());
    assert!(storage.event_deliveries().unwrap().is_empty() && storage.outbox("q").unwrap().is_empty());
    assert!(storage.accepted_version("a").unwrap().is_none() && storage.get("").unwrap().is_none());
    let page = storage.list(&RunQuery::default(), None, 10).unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
    assert!(results(storage, Vec::new()).is_empty());
}

fn changes_of_state_apply_in_order(storage: &dyn Storage) {
    let first = change(vec![add("n", 1), set("n", 10), add("n", 2), add("m", 0.5), add("m", 1)]);
    let second = change(vec![remove("m"), add("n", 1)]);
    let sums = |values: Vec<Value>| WriteOutcome::Committed(values);
    assert_eq!(
        write(storage, vec![first, second]),
        [sums(vec![Value::Int(1), Value::Int(12), Value::Float(0.5), Value::Float(1.5)]), sums(vec![Value::Int(13)]),],
        "a write sees the writes before it"
    );
    assert_eq!((value(storage, "n"), value(storage, "m")), (Some(Value::Int(13)), None));
}

fn a_failed_write_leaves_the_rest_of_its_group_intact(storage: &dyn Storage) {
    write(storage, vec![change(vec![set("text", "x"), set("big", i64::MAX)])]);
    let failing =
        Batch { timers_set: vec![timer("nag", 5)], values: vec![set("a", 1), add("text", 1)], ..Batch::default() };
    let group =
        vec![change(vec![add("n", 1)]), commit(&failing), change(vec![add("big", 1)]), change(vec![add("n", 1)])];
    let results = results(storage, group);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(results[1].as_ref().unwrap_err().to_string(), "`text` of script:a is text: it must be a number");
    assert_eq!((value(storage, "n"), value(storage, "a")), (Some(Value::Int(2)), None));
    assert!(storage.timers().unwrap().is_empty());
}

fn namespaces_are_separate_and_measured(storage: &dyn Storage) {
    let shared = ("shared:h".to_owned(), "n".to_owned(), StateChange::Set("ä".into()));
    write(storage, vec![change(vec![set("n", 1), set("b", 2), shared])]);
    assert_eq!(storage.keys("script:a").unwrap(), ["b", "n"]);
    assert_eq!(storage.value("shared:h", "n").unwrap(), Some("ä".into()));
    let all = map_of([("b".to_owned(), Value::Int(2)), ("n".to_owned(), Value::Int(1))]);
    assert_eq!(storage.namespace("script:a", usize::MAX).unwrap(), Some(all));
    assert_eq!(storage.namespace("script:a", 1).unwrap(), None, "it takes more than a byte");
    let sizes = storage.namespaces().unwrap();
    let sizes: Vec<_> = sizes.iter().map(|size| (size.name.as_str(), size.values, size.bytes)).collect();
    assert_eq!(sizes, [("script:a", 2, 4), ("shared:h", 1, 5)]);
}

fn stored_values_keep_their_types(storage: &dyn Storage) {
    let time = "2026-03-29T03:00:00+02:00[Europe/Berlin]".parse().unwrap();
    let values = [Value::Float(1.0), Value::Bytes(vec![0, 255]), Value::Time(time), Value::Bool(false), Value::Null];
    let nested = Value::Map(map_of([("list".to_owned(), Value::List(values.to_vec()))]));
    write(storage, vec![change(vec![set("nested", nested.clone())])]);
    assert_eq!(value(storage, "nested"), Some(nested));
}

fn timers_are_set_cancelled_and_acknowledged(storage: &dyn Storage) {
    let done = |second, set: Vec<Timer>| {
        commit(&Batch { acknowledged_timers: vec![key("nag", second)], timers_set: set, ..Batch::default() })
    };
    write(storage, vec![done(1, vec![timer("nag", 5), timer("other", 6)]), done(4, vec![])]);
    assert_eq!(storage.timer("a", "nag").unwrap(), Some(timer("nag", 5)), "it had another deadline");
    write(storage, vec![done(5, vec![timer("nag", 9)])]);
    assert_eq!(storage.timer("a", "nag").unwrap(), Some(timer("nag", 9)), "acknowledged before it was set");
    let deferred = DeferredWrites { acknowledged_timers: vec![key("nag", 9)], ..DeferredWrites::default() };
    write(storage, vec![Write::Deferred(deferred)]);
    assert_eq!(storage.timers().unwrap(), [timer("other", 6)]);
    let cancelled = vec![("a".to_owned(), "other".to_owned())];
    write(storage, vec![commit(&Batch { timers_cancelled: cancelled, ..Batch::default() })]);
    assert!(storage.timers().unwrap().is_empty());
}

fn events_are_stored_until_acknowledged_or_expired(storage: &dyn Storage) {
    let numbers = || storage.event_deliveries().unwrap().iter().map(|event| event.number).collect::<Vec<_>>();
    let event_deliveries = vec![delivery(3), delivery(1), delivery(2), delivery(4)];
    write(storage, vec![commit(&Batch { event_deliveries, ..Batch::default() })]);
    assert_eq!(storage.event_deliveries().unwrap()[2], delivery(3));
    write(storage, vec![commit(&Batch { acknowledged_events: vec![1], ..Batch::default() })]);
    write(storage, vec![Write::Deferred(DeferredWrites { acknowledged_events: vec![3], ..DeferredWrites::default() })]);
    write(storage, vec![Write::ExpireEvents { max_age: Duration::from_secs(86_400) }]);
    assert_eq!(numbers(), [2, 4]);
    assert_eq!(storage.load().unwrap().newest_event, 4);
}

fn version_numbers_are_never_used_twice(storage: &dyn Storage) {
    let accept = |text| vec![Write::AcceptVersion { script: "a".into(), files: files(text) }];
    assert_eq!(write(storage, accept("1")), [WriteOutcome::Version(1)]);
    assert_eq!(write(storage, accept("2")), [WriteOutcome::Version(2)]);
    let accepted = storage.accepted_version("a").unwrap().unwrap();
    assert_eq!((accepted.script.as_str(), accepted.version, accepted.files), ("a", 2, files("2")));
    write(storage, vec![Write::ForgetVersion { script: "a".into() }]);
    assert_eq!(storage.accepted_version("a").unwrap(), None);
    assert_eq!(write(storage, accept("1")), [WriteOutcome::Version(3)]);
}

fn outbox_queues_are_separate_and_ordered(storage: &dyn Storage) {
    let update = |queue: &str, changes| write(storage, vec![Write::Outbox { queue: queue.into(), changes }]);
    update("q", [2, 3, 1].map(|number| OutboxChange::Insert(message(number))).to_vec());
    update("other", vec![OutboxChange::Insert(message(2))]);
    update(
        "q",
        vec![
            OutboxChange::AssignPacketId { number: 2, packet: 65_535 },
            OutboxChange::MarkReceived { number: 2 },
            OutboxChange::Delete { number: 3 },
            OutboxChange::Delete { number: 9 },
        ],
    );
    let second = OutboxRecord { packet: Some(65_535), received: true, ..message(2) };
    assert_eq!(storage.outbox("q").unwrap(), [message(1), second]);
    update("q", vec![OutboxChange::AssignPacketId { number: 2, packet: 1 }]);
    assert!(!storage.outbox("q").unwrap()[1].received, "a new packet identifier was not received");
    assert_eq!(storage.outbox("other").unwrap(), [message(2)]);
    let repeated = vec![OutboxChange::Delete { number: 1 }, OutboxChange::Insert(message(2))];
    let failed = results(storage, vec![Write::Outbox { queue: "q".into(), changes: repeated }]);
    assert!(failed[0].is_err(), "the number is taken");
    assert_eq!(storage.outbox("q").unwrap().len(), 2, "nothing of a failed write has an effect");
}

fn metadata_is_replaced_and_deleted(storage: &dyn Storage) {
    let set = |entries: &[(&str, Option<i64>)]| {
        let metadata = entries.iter().map(|(key, value)| ((*key).to_owned(), value.map(Value::Int))).collect();
        write(storage, vec![Write::Deferred(DeferredWrites { metadata, ..DeferredWrites::default() })]);
    };
    set(&[("a", Some(1)), ("b", Some(2))]);
    set(&[("a", Some(3)), ("b", None), ("c", None)]);
    assert_eq!(storage.load().unwrap().metadata, map_of([("a".to_owned(), Value::Int(3))]));
}

fn runs_are_listed_by_filter_and_cursor(storage: &dyn Storage) {
    let outcomes = ["succeeded", "failed", "timed out", "skipped", "failed", "cancelled"];
    let records = outcomes.iter().zip(0..).map(|(outcome, number)| run(number, "cron", outcome)).collect();
    write(storage, vec![append_runs(records, RetentionPolicy::default())]);
    let ids = |query: RunQuery| {
        let records = storage.list(&query, None, 10).unwrap().records;
        records.into_iter().map(|record| record.id.trim_start_matches('0').to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(RunQuery::default()), ["5", "4", "3", "2", "1", ""]);
    assert_eq!(ids(RunQuery { only: Some(OutcomeFilter::Failed), ..RunQuery::default() }), ["4", "2", "1"]);
    assert_eq!(ids(RunQuery { only: Some(OutcomeFilter::Skipped), ..RunQuery::default() }), ["3"]);
    assert_eq!(ids(RunQuery { script: Some("odd".into()), ..RunQuery::default() }), ["5", "3", "1"]);
    assert!(ids(RunQuery { trigger: Some("every".into()), ..RunQuery::default() }).is_empty());
    let since = |seconds: i64| Some(Timestamp::from_second(1_800_000_000 + seconds).unwrap());
    assert_eq!(ids(RunQuery { since: since(0), ..RunQuery::default() }).len(), 6);
    assert!(ids(RunQuery { since: since(1), ..RunQuery::default() }).is_empty());

    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let page = storage.list(&RunQuery::default(), cursor, 4).unwrap();
        paged.extend(page.records.into_iter().map(|record| record.id));
        write(storage, vec![append(10..11, RetentionPolicy::default())]);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["000005", "000004", "000003", "000002", "000001", "000000"], "newer records do not shift pages");
    assert_eq!(format!("{:?}", storage.get("03").unwrap().unwrap()), format!("{:?}", run(3, "cron", "skipped")));
    assert!(storage.get("9").unwrap().is_none());
}

fn retention_keeps_failures_and_quiet_triggers(storage: &dyn Storage) {
    let retention = RetentionPolicy { rows: 40, ..RetentionPolicy::default() };
    let failures = (0..10).map(|number| run(number, "cron", "failed"));
    let quiet = (10..15).map(|number| run(number, "quiet", "succeeded"));
    write(storage, vec![append_runs(failures.chain(quiet).collect(), retention)]);
    for number in 1..20 {
        write(storage, vec![append(100 * number..100 * number + 20, retention)]);
    }
    let records = storage.list(&RunQuery::default(), None, 1_000).unwrap().records;
    assert!(records.len() <= 40, "{}", records.len());
    assert_eq!(records.iter().filter(|record| record.outcome == "failed").count(), 10);
    assert_eq!(records.iter().filter(|record| record.trigger == "quiet").count(), 5);
    assert_eq!(records[0].id, "001919");

    let aged = RetentionPolicy { age: Duration::from_secs(3_600), ..retention };
    let later = Timestamp::from_second(1_800_000_000 + 3_601).unwrap();
    let newest = RunRecord { ended: later, ..run(2_000, "cron", "succeeded") };
    write(storage, vec![append_runs([newest].into(), aged)]);
    let records = storage.list(&RunQuery::default(), None, 1_000).unwrap().records;
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["002000"]);

    write(storage, vec![append_runs(VecDeque::new(), RetentionPolicy { rows: 0, ..aged })]);
    assert!(
        storage.list(&RunQuery::default(), None, 10).unwrap().records.is_empty(),
        "a policy applies without records"
    );
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + number).unwrap()
}

fn omitted(trigger: &str, number: i64, count: u64) -> OmittedRuns {
    let (from, until) = (second(number), second(number + 1));
    OmittedRuns { script: "a".into(), trigger: trigger.into(), from, until, count }
}

fn append_omitted(storage: &dyn Storage, omitted: Vec<OmittedRuns>, retention: RetentionPolicy) {
    write(storage, vec![Write::AppendRuns(AppendRuns { omitted, retention, ..AppendRuns::default() })]);
}

fn counts_are_added_up_and_listed_by_filter(storage: &dyn Storage) {
    let retention = RetentionPolicy::default();
    append_omitted(storage, vec![omitted("cron", 0, 5), omitted("every", 0, 7), omitted("cron", 1, 1)], retention);
    append_omitted(storage, vec![omitted("cron", 1, 2)], retention);
    let list = |query: RunQuery, after| storage.omitted(&query, after).unwrap();
    let all = [omitted("cron", 1, 3), omitted("cron", 0, 5), omitted("every", 0, 7)];
    assert_eq!(list(RunQuery::default(), Timestamp::MIN), all);
    assert_eq!(list(RunQuery::default(), second(1)), all[..1]);
    assert_eq!(list(RunQuery { since: Some(second(1)), ..RunQuery::default() }, Timestamp::MIN), all[..1]);
    assert_eq!(list(RunQuery { trigger: Some("every".into()), ..RunQuery::default() }, Timestamp::MIN), all[2..]);
    assert!(list(RunQuery { script: Some("b".into()), ..RunQuery::default() }, Timestamp::MIN).is_empty());
    assert!(list(RunQuery { only: Some(OutcomeFilter::Failed), ..RunQuery::default() }, Timestamp::MIN).is_empty());
}

fn retention_limits_the_counts_of_omitted_runs(storage: &dyn Storage) {
    let retention = RetentionPolicy { rows: 80, ..RetentionPolicy::default() };
    write(storage, vec![append(0..80, retention)]);
    append_omitted(storage, (0..100).map(|number| omitted("cron", number, 1)).collect(), retention);
    let counts = || storage.omitted(&RunQuery::default(), Timestamp::MIN).unwrap();
    let records = || storage.list(&RunQuery::default(), None, 1_000).unwrap().records.len();
    assert_eq!(counts(), (90..100).rev().map(|number| omitted("cron", number, 1)).collect::<Vec<_>>());
    assert!((69..=70).contains(&records()), "counts and records share the limit: {}", records());

    let aged = RetentionPolicy { age: Duration::from_secs(3_600), ..retention };
    append_omitted(storage, vec![omitted("cron", 3_700, 1)], aged);
    assert_eq!(counts(), [omitted("cron", 3_700, 1)]);
    append_omitted(storage, Vec::new(), RetentionPolicy { rows: 0, ..aged });
    assert!(counts().is_empty());
}

fn reads_run_beside_writes(storage: &dyn Storage) {
    std::thread::scope(|scope| {
        let readers = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut last = 0;
                while last < 50 {
                    let namespace = storage.namespace("script:a", usize::MAX).unwrap().unwrap();
                    assert_eq!(namespace.get("one"), namespace.get("two"), "a read sees whole transactions");
                    let Some(Value::Int(now)) = namespace.get("one") else { continue };
                    assert!(*now >= last, "a read goes back in time");
                    last = *now;
                }
            })
        });
        for _ in 0..50 {
            write(storage, vec![change(vec![add("one", 1), add("two", 1)])]);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
