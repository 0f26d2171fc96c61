//! Queued runs of one script that change state share a commit: each sees the changes of those before it, and a failed commit undoes no other.

use rhaid::value::Value;

use crate::bench::Bench;

/// Emits events, which are all queued when the first of their handlers runs.
const EMITTER: &str = r#"on_event("go", |event| for number in 0..event.data { emit("step", number) });"#;

fn bench(script: &str) -> Bench {
    Bench::new().script("emitter", EMITTER).script("worker", script).start()
}

fn go(bench: &Bench, count: i64) {
    bench.fire("emitter", "on_event go", Value::Map([("data".to_owned(), Value::Int(count))].into()));
}

#[test]
fn each_run_sees_the_state_that_the_run_before_it_left() {
    let bench = bench(
        r#"on_event("step", |event| {
            state.add("n", 1);
            if state.last != () && state.last != event.data - 1 { state.gap = event.data; }
            state.last = event.data;
            state.list = (if state.list == () { [] } else { state.list }) + [event.data];
            if event.data % 3 == 0 { state[`key ${event.data}`] = 1; } else { state.remove(`key ${event.data - 1}`); }
            shared("all").add("n", 2);
            state.keys = state.keys().len();
        });"#,
    );
    go(&bench, 50);
    bench.until_equal(|| bench.state("worker", "n"), Value::Int(50));
    assert_eq!(bench.state("worker", "gap"), Value::Null);
    assert_eq!(bench.state("worker", "list"), Value::List((0..50).map(Value::Int).collect()));
    let services = bench.services();
    assert_eq!(services.store.value("shared:all", "n").unwrap(), Some(Value::Int(100)));
    // n, last, list, keys, and the key of 48 was removed by 49.
    assert_eq!(bench.state("worker", "keys"), Value::Int(4));
    bench.until_equal(|| bench.outcomes("worker"), vec!["succeeded".to_owned(); 50]);
    assert!(services.store.event_deliveries().unwrap().is_empty(), "all events are acknowledged");
}

#[test]
fn a_run_that_cannot_be_committed_fails_alone_and_those_after_it_run_again() {
    let bench = bench(
        r#"on_event("step", |event| {
            if event.data == 5 {
                // Deeper than the store can read back, so only the commit fails.
                let deep = [];
                for level in 0..127 { deep = [deep]; }
                state.deep = deep;
            }
            state.add("n", 1);
            state.list = (if state.list == () { [] } else { state.list }) + [event.data];
        });"#,
    );
    go(&bench, 20);
    bench.until_equal(|| bench.state("worker", "n"), Value::Int(19));
    let expected = (0..20).filter(|number| *number != 5).map(Value::Int).collect();
    assert_eq!(bench.state("worker", "list"), Value::List(expected));
    assert_eq!(bench.state("worker", "deep"), Value::Null);
    bench.until_equal(|| bench.outcomes("worker").iter().filter(|outcome| *outcome == "succeeded").count(), 19);
    let failed: Vec<_> = bench.runs("worker").into_iter().filter(|run| run.outcome == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].why.as_deref().is_some_and(|why| why.contains("levels deep")), "{failed:?}");
    assert!(bench.services().store.event_deliveries().unwrap().is_empty(), "the failed event is acknowledged, too");
}

#[test]
fn a_run_that_waits_does_not_delay_the_commit_of_those_before_it() {
    let bench = bench(
        r#"on_event("step", |event| {
            if event.data == 3 { sleep("20s"); }
            state.add("n", 1);
        });"#,
    );
    go(&bench, 6);
    // The virtual clock stands still, so the fourth run waits.
    bench.until_equal(|| bench.services().store.value("script:worker", "n").unwrap(), Some(Value::Int(3)));
    bench.until_equal(|| bench.outcomes("worker").len(), 3);
    bench.advance(crate::bench::seconds(30));
    bench.until_equal(|| bench.state("worker", "n"), Value::Int(6));
}
