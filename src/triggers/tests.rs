//! Tests of triggers other than schedules.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::bench::Bench;
use super::*;
use crate::event::{Event, ReceivedRequest};
use crate::fault::{Fault, SourceLocation};
use crate::run::{Outcome, Skip};
use crate::services::routes::RouteLookup;
use crate::services::store::{Batch, Emitted, Store, Timer};
use crate::value::{Map, Value};

const NOON: &str = "2026-06-01T12:00[UTC]";

#[test]
fn every_kind_has_documentation_with_an_example_that_declares_it() {
    let mut names = std::collections::BTreeSet::new();
    for kind in KINDS {
        assert!(names.insert(kind.name), "{} is there twice", kind.name);
        let (text, example) =
            kind.docs.split_once("# Example\n").unwrap_or_else(|| panic!("{} has no example", kind.name));
        assert!(text.trim().len() > 80, "{}", kind.name);
        assert!(example.contains("```rhai\n"), "{}", kind.name);
        assert!(example.contains(&format!("{}(", kind.name)), "{}", kind.name);
        assert!(kind.event.starts_with('`'), "{}", kind.name);
    }
}

#[test]
fn an_emitted_event_has_its_sender_and_hops() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("on_event", "bell", &[]);
    let emitted = Emitted { name: "bell".into(), data: Value::Int(2), from: "garden".into(), hops: 3 };
    let deliveries = bench.services.bus.route(vec![emitted]);
    assert_eq!(deliveries.len(), 1);
    assert!(bench.runtime.block_on(bench.services.bus.deliver(deliveries)).is_empty());
    bench.pass(1);
    let received = bench.received();
    assert_eq!(
        Value::Map(received[0].payload.clone().into_fields()).to_json_text(),
        r#"{"data":2,"from":"garden","name":"bell"}"#
    );
    assert_eq!((received[0].delivery.hops, &*received[0].summary()), (3, "on_event bell"));
}

fn set_timer(bench: &Bench, seconds: u64) -> Timer {
    let due = bench.now() + Duration::from_secs(seconds);
    let timer = Timer { owner: "door".into(), name: "nag".into(), due, data: Value::Text("x".into()) };
    let batch = Batch { timers_set: vec![timer.clone()], ..Batch::default() };
    bench.services.store.commit(&batch).unwrap();
    bench.services.timers.apply_commit(&batch);
    timer
}

#[test]
fn an_expired_timer_sends_an_event_with_its_key() {
    let bench = Bench::new(NOON);
    let watch = bench.watch("on_timer", "nag", &[]);
    let timer = set_timer(&bench, 60);
    bench.pass(59);
    assert!(bench.received().is_empty());
    bench.pass(1);
    let event = bench.received().pop().unwrap();
    assert_eq!(event.delivery.timer().map(|key| (key.name.as_str(), key.due)), Some(("nag", timer.due)));
    let payload = Value::Map(event.payload.into_fields()).to_json_text();
    assert_eq!(payload, r#"{"data":"x","due":"2026-06-01T12:01:00+00:00","late":0.0,"name":"nag"}"#);
    // A timer that expired without a watch is late.
    bench.runtime.block_on(watch.stop());
    set_timer(&bench, 10);
    bench.pass(25);
    let _watch = bench.watch("on_timer", "nag", &[]);
    bench.pass(1);
    assert_eq!(bench.received()[0].fact("late"), Some(&Value::Float(15.0)));
}

#[test]
fn a_timer_is_acknowledged_after_a_failure_but_not_when_rhaid_stops() {
    let failed =
        |_: &Event| (Duration::from_secs(3), Outcome::Failed(Box::new(Fault::new(SourceLocation::default(), "no"))));
    let stopping = |_: &Event| (Duration::ZERO, Outcome::Skipped(Skip::Stopping));
    let runs: [(super::bench::Run, usize); 2] = [(failed, 0), (stopping, 1)];
    for (run, left) in runs {
        let bench = Bench::with(NOON, run, Store::in_memory().unwrap());
        let _watch = bench.watch("on_timer", "nag", &[]);
        set_timer(&bench, 10);
        bench.pass(20);
        assert_eq!(bench.received().len(), 1);
        bench.services.store.flush();
        assert_eq!(bench.services.store.timers().unwrap().len(), left);
    }
}

#[test]
fn a_request_becomes_an_event_and_the_outcome_its_response() {
    let hello = |event: &Event| {
        let Some(Value::Text(id)) = event.fact("params.id") else { panic!() };
        (Duration::ZERO, Outcome::Succeeded(format!("hello {id}").into()))
    };
    let bench = Bench::with(NOON, hello, Store::in_memory().unwrap());
    let _watch = bench.watch("webhook", "door/{id}", &[("public", true.into())]);
    let RouteLookup::Match(door) = bench.services.routes.find("POST", "door/7") else { panic!("no route") };
    let request = ReceivedRequest {
        params: door.params.clone(),
        query: vec![("a".into(), "1".into())],
        headers: HeaderMap::from_iter([(HeaderName::from_static("x-b"), HeaderValue::from_static("2"))]),
        body: vec![b'h', 0xff].into(),
        remote: [192, 0, 2, 1].into(),
        ..ReceivedRequest::new(Method::POST, "door/7")
    };
    let answer = bench.runtime.block_on(door.submit(request));
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello 7".as_slice()));
    let event = bench.received().pop().unwrap();
    assert_eq!(event.summary(), "webhook POST door/7");
    assert_eq!(event.fact("bytes"), Some(&Value::Bytes(vec![b'h', 0xff])));
    assert_eq!(event.fact("text"), Some(&Value::from("h\u{fffd}")));
    assert_eq!(event.fact("query.a"), Some(&Value::from("1")));
    assert_eq!(event.fact("headers.x-b"), Some(&Value::from("2")));
    assert_eq!(event.fact("remote"), Some(&Value::from("192.0.2.1")));
}

#[test]
fn the_path_is_released_when_the_trigger_stops() {
    let bench = Bench::new(NOON);
    let watch = bench.watch("webhook", "door", &[("public", true.into())]);
    assert!(matches!(bench.services.routes.find("GET", "door"), RouteLookup::Match(_)));
    bench.runtime.block_on(watch.stop());
    assert!(matches!(bench.services.routes.find("GET", "door"), RouteLookup::Nothing));
}

#[test]
fn lifecycle_triggers_take_no_arguments() {
    let trigger_context = Bench::new(NOON).trigger_context;
    for (kind, moment) in [(&lifecycle::START, Lifecycle::Start), (&lifecycle::STOP, Lifecycle::Stop)] {
        let spec = read(kind, Vec::new(), Map::new(), &trigger_context).ok().unwrap();
        assert_eq!(spec.trigger.lifecycle(), Some(moment));
        let fault = read(kind, vec![Value::Int(1)], Map::new(), &trigger_context).err().unwrap();
        assert_eq!(fault.message, "write nothing before the options and the handler, not a whole number");
    }
}

#[test]
fn a_matching_file_change_sends_an_event_with_path_and_kind() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("inbox")).unwrap();
    let mut bench = Bench::new(NOON);
    bench.trigger_context.base = root.clone();
    let watch = bench.watch("watch_file", "inbox/*.csv", &[]);
    let until = std::time::Instant::now() + Duration::from_secs(60);
    // Existing files are not changes, and the start of the watch takes some time: write until a change arrives.
    let mut number = 0;
    while bench.received().is_empty() {
        assert!(std::time::Instant::now() < until, "no change came");
        number += 1;
        std::fs::write(root.join("inbox/notes.txt"), number.to_string()).unwrap();
        std::fs::write(root.join("inbox/a.csv"), number.to_string()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    bench.runtime.block_on(watch.stop());
    let path = root.join("inbox/a.csv").display().to_string();
    let received = bench.received();
    assert_eq!(received[0].fact("path"), Some(&Value::from(path.as_str())));
    let Some(Value::Text(kind)) = received[0].fact("kind") else { panic!() };
    assert!(matches!(kind.as_str(), "created" | "modified"), "{kind}");
    assert_eq!(received[0].summary(), format!("watch_file inbox/*.csv: a.csv {kind}"));
}

#[test]
fn an_identity_covers_arguments_and_options_but_reveals_no_secret() {
    let bench = Bench::new(NOON);
    let identity = |kind: &str, argument: &str, options: &[(&str, Value)]| {
        bench.read(kind, argument.into(), options).ok().unwrap().identity
    };
    let plain = identity("every", "1s", &[]);
    assert_eq!(plain, identity("every", "1s", &[("timeout", "5s".into()), ("name", "x".into())]));
    assert_ne!(plain, identity("every", "2s", &[]));
    assert_ne!(plain, identity("every", "1s", &[("jitter", "100ms".into())]));
    // Whether a tick waits for the previous run changes the watch of a schedule; messages do not depend on it.
    assert_ne!(plain, identity("every", "1s", &[("mode", "parallel".into())]));
    let hook = identity("webhook", "door", &[("token", "hunter2".into())]);
    assert_eq!(hook, identity("webhook", "door", &[("token", "hunter2".into()), ("mode", "parallel".into())]));
    assert_ne!(hook, identity("webhook", "door", &[("token", "hunter3".into())]));
    assert!(!hook.contains("hunter2"), "{hook}");
}
