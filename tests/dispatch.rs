//! Runs are transactions, end with the documented outcome, and start in time.

use rhaid::runtime::Status;
use rhaid::value::{Map, Value};

use crate::bench::{Bench, minutes, seconds};

#[test]
fn state_changes_of_a_failed_run_are_discarded() {
    let bench = Bench::new()
        .script(
            "a",
            r#"on_event("good", |event| { state.x = 1; }); on_event("bad", |event| { state.x = 2; throw "no"; });"#,
        )
        .start();
    assert_eq!(bench.fire("a", "on_event good", Value::Null).outcome, "succeeded");
    let bad = bench.fire("a", "on_event bad", Value::Null);
    assert_eq!(bad.outcome, "failed");
    assert!(bad.why.unwrap().starts_with("a.rhai:1:"));
    assert_eq!(bench.state("a", "x"), Value::Int(1));
}

#[test]
fn a_run_that_times_out_discards_its_state_changes() {
    let bench =
        Bench::new().script("a", r#"on_event("go", #{ timeout: "300ms" }, |event| { state.x = 1; loop {} });"#).start();
    assert_eq!(bench.fire("a", "", Value::Null).outcome, "timed out");
    assert_eq!(bench.state("a", "x"), Value::Null);
}

#[test]
fn disabling_a_script_cancels_a_sleeping_run() {
    let bench = Bench::new().script("a", r#"on_event("go", |event| { print("starts"); sleep("1h"); });"#).start();
    let run = bench.start_fire("a", "on_event", Value::Null);
    bench.expect_printed("a", ["starts"]);
    bench.wait(bench.runtime().disable("a")).unwrap();
    assert_eq!(bench.wait(run).unwrap().outcome, "cancelled");
}

#[test]
fn mode_restart_cancels_the_active_run() {
    let bench = Bench::new()
        .script(
            "light",
            r#"on_event("motion", #{ mode: "restart" }, |event| { print("on"); sleep("5m"); print("off"); });"#,
        )
        .config("limits: { timeout: 10m }")
        .start();
    let first = bench.start_fire("light", "on_event", Value::Null);
    bench.expect_printed("light", ["on"]);
    bench.advance(minutes(3));
    let second = bench.start_fire("light", "on_event", Value::Null);
    assert_eq!(bench.wait(first).unwrap().outcome, "cancelled");
    bench.expect_printed("light", ["on", "on"]);
    bench.advance(minutes(4));
    bench.expect_printed("light", ["on", "on"]);
    bench.advance(minutes(1));
    assert_eq!(bench.wait(second).unwrap().outcome, "succeeded");
    bench.expect_printed("light", ["on", "on", "off"]);
}

#[test]
fn a_failed_run_is_retried_after_its_delay() {
    let bench = Bench::new()
        .script(
            "a",
            r#"every("1h", #{ retry: #{ max: 2, delay: "10s", backoff: 2.0 } }, |tick| { print("try"); throw "no"; });"#,
        )
        .start();
    bench.advance(minutes(60));
    let attempts = || bench.printed("a").iter().filter(|line| *line == "try").count();
    assert_eq!(attempts(), 1);
    bench.advance(seconds(10));
    assert_eq!(attempts(), 2);
    bench.advance(seconds(20));
    assert_eq!(attempts(), 3);
    bench.advance(minutes(10));
    assert_eq!(attempts(), 3);
    assert_eq!(bench.outcomes("a"), ["failed", "failed", "failed"]);
}

#[test]
fn events_between_scripts_are_delivered_after_the_commit() {
    let bench = Bench::new()
        .script("emitter", r#"on_event("go", |event| { emit("news", #{ n: 7 }); print("emitted"); });"#)
        .script("listener", r#"on_event("news", |event| print(`${event.from} sent ${event.data.n}`));"#)
        .start();
    bench.fire("emitter", "", Value::Null);
    bench.expect_printed("listener", ["emitter sent 7"]);
}

#[test]
fn a_timer_survives_a_restart_and_is_deleted_with_the_run_it_starts() {
    let mut bench = Bench::new()
        .script(
            "a",
            r#"on_event("go", |event| timer_start("nag", "10m", 5)); on_timer("nag", |timer| print(`nag ${timer.data}`));"#,
        )
        .start();
    bench.fire("a", "on_event go", Value::Null);
    bench.advance(minutes(4));
    bench.restart();
    bench.advance(minutes(5));
    bench.expect_printed("a", []);
    bench.advance(minutes(1));
    bench.expect_printed("a", ["nag 5"]);
    bench.restart();
    bench.advance(minutes(60));
    bench.expect_printed("a", []);
}

#[test]
fn secrets_appear_neither_in_the_log_nor_in_the_run_history() {
    let bench = Bench::new()
        .config("secrets: { token: hush-hush }")
        .config("permissions: { \"*\": { secrets: [token] } }")
        .script("a", r#"on_event("go", |event| { let t = secret("token"); print(`it is ${t}`); throw `bad ${t}`; });"#)
        .start();
    let payload = Value::Map(Map::from([("data".into(), Value::from("hush-hush"))]));
    let fired = bench.fire("a", "", payload);
    assert!(fired.why.as_ref().unwrap().contains("bad ***"), "{fired:?}");
    bench.until("the fault to be logged", || bench.printed("a").len() == 2);
    assert_eq!(bench.printed("a")[0], "it is ***");
    let recorded = format!("{:?} {:?}", bench.logged(), bench.runs("a"));
    assert!(!recorded.contains("hush-hush"), "{recorded}");
}

#[test]
fn fire_lists_the_available_triggers_when_the_name_is_unknown() {
    let bench = Bench::new().script("garden", r#"every("1h", || 1); every("2h", || 2);"#).start();
    let error = |script: &str, trigger: Option<&str>| {
        bench.wait(bench.runtime().fire(script, trigger, Value::Null)).unwrap_err()
    };
    assert_eq!(error("gardne", None), "there is no script `gardne`: did you mean `garden`?");
    assert_eq!(error("garden", None), "`garden` has several triggers, name one of them: `every 1h`, `every 2h`");
    assert_eq!(error("garden", Some("x")), "`garden` has no trigger `x`: it has `every 1h`, `every 2h`");
}

#[test]
fn repeated_failures_pause_a_script_until_a_save_an_enable_or_a_timeout() {
    let bench = Bench::new()
        .config("limits: { failures: 3, pause: 30s }")
        .script("a", r#"on_event("go", |event| throw "no"); on_event("fine", |event| 1);"#)
        .script("b", r#"on_event("go", |event| 1);"#)
        .start();
    let fire = |event: &str| bench.fire("a", &format!("on_event {event}"), Value::Null).outcome;
    let fail = |times| (0..times).for_each(|_| assert_eq!(fire("go"), "failed"));
    let pauses = || {
        bench.logged_about("a").iter().filter(|line| line.contains("paused for 30s: its last 3 runs failed")).count()
    };
    fail(2);
    assert_eq!(fire("fine"), "succeeded");
    fail(3);
    assert_eq!((fire("fine"), fire("go")), ("skipped".to_owned(), "skipped".to_owned()));
    assert_eq!((bench.listed("a").status, pauses()), (Status::Paused, 1));
    assert_eq!(bench.fire("b", "", Value::Null).outcome, "succeeded");
    bench.wait(bench.runtime().enable("a")).unwrap();
    assert_eq!(bench.listed("a").status, Status::Live);
    fail(3);
    assert_eq!(bench.listed("a").status, Status::Paused);
    bench.edit("a", r#"on_event("go", |event| throw "still"); on_event("fine", |event| 1);"#);
    bench.until("the save to end the pause", || bench.listed("a").status == Status::Live);
    fail(3);
    bench.advance(seconds(30));
    assert_eq!(bench.listed("a").status, Status::Live);
    // After a pause one more failure is enough.
    fail(1);
    assert_eq!((bench.listed("a").status, pauses()), (Status::Paused, 4));
}

#[test]
fn a_timer_missed_while_rhaid_was_stopped_fires_late_or_is_skipped_by_its_options() {
    let mut bench = Bench::new()
        .script(
            "a",
            r#"
            on_event("go", || { for name in ["tea", "eggs", "near", "far"] { timer_start(name, "10m"); } timer_start("soon", "39m"); });
            on_timer("tea", |timer| print(`tea ${timer.late}`));
            on_timer("eggs", #{ missed: "skip" }, |timer| print("eggs"));
            on_timer("near", #{ window: "1h" }, |timer| print("near"));
            on_timer("far", #{ window: "10m" }, |timer| print("far"));
            on_timer("soon", #{ missed: "skip" }, |timer| print(`soon ${timer.late}`));
            "#,
        )
        .start();
    bench.fire("a", "on_event go", Value::Null);
    bench.stop();
    bench.advance(minutes(39) + seconds(30));
    bench.restart();
    bench.until("three timers to fire", || bench.printed("a").len() == 3);
    let mut fired = bench.printed("a");
    fired.sort();
    assert_eq!(fired, ["near", "soon 30.0", "tea 1770.0"]);
    // Skipped timers are deleted.
    bench.until("all timers to be deleted", || bench.services().store.timers().unwrap().is_empty());
    bench.restart();
    bench.advance(minutes(60));
    bench.expect_printed("a", []);
}

#[test]
fn events_emitted_at_activation_reach_all_scripts_activated_together() {
    let mut bench = Bench::new()
        .script("a", r#"on_timer("early", || emit("early")); on_event("set", || timer_start("early", "1s"));"#)
        .script("z", r#"on_event("early", || state.add("received", 1));"#)
        .start();
    for times in 1..=5 {
        bench.fire("a", "on_event set", Value::Null);
        bench.stop();
        bench.advance(seconds(5));
        bench.restart();
        bench.until_equal(|| bench.state("z", "received"), Value::Int(times));
    }
}
