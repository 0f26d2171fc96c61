//! Runs are transactions, each ends as it should, and nobody waits longer than promised.

use rhaid::runtime::Status;
use rhaid::value::{Map, Value};

use crate::bench::{Bench, minutes, seconds};

#[test]
fn what_a_failed_run_did_to_state_is_not_kept() {
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
fn a_run_that_is_too_long_is_timed_out_and_keeps_nothing() {
    let bench =
        Bench::new().script("a", r#"on_event("go", #{ timeout: "300ms" }, |event| { state.x = 1; loop {} });"#).start();
    assert_eq!(bench.fire("a", "", Value::Null).outcome, "timed out");
    assert_eq!(bench.state("a", "x"), Value::Null);
}

#[test]
fn disabling_cancels_a_run_that_sleeps() {
    let bench = Bench::new().script("a", r#"on_event("go", |event| { print("begins"); sleep("1h"); });"#).start();
    let run = bench.start_fire("a", "on_event", Value::Null);
    bench.expect_printed("a", ["begins"]);
    bench.wait(bench.runtime().disable("a")).unwrap();
    assert_eq!(bench.wait(run).unwrap().outcome, "cancelled");
}

#[test]
fn restart_cancels_the_run_that_goes_on_and_takes_its_place() {
    let bench = Bench::new()
        .script(
            "light",
            r#"on_event("motion", #{ mode: "restart" }, |event| { print("on"); sleep("5m"); print("off"); });"#,
        )
        .config("limits: { timeout: 10m }")
        .start();
    let first = bench.start_fire("light", "on_event", Value::Null);
    bench.expect_printed("light", ["on"]);
    bench.pass(minutes(3));
    let second = bench.start_fire("light", "on_event", Value::Null);
    assert_eq!(bench.wait(first).unwrap().outcome, "cancelled");
    bench.expect_printed("light", ["on", "on"]);
    bench.pass(minutes(4));
    bench.expect_printed("light", ["on", "on"]);
    bench.pass(minutes(1));
    assert_eq!(bench.wait(second).unwrap().outcome, "succeeded");
    bench.expect_printed("light", ["on", "on", "off"]);
}

#[test]
fn a_failed_run_is_tried_again_after_its_delay() {
    let bench = Bench::new()
        .script(
            "a",
            r#"every("1h", #{ retry: #{ max: 2, delay: "10s", backoff: 2.0 } }, |tick| { print("try"); throw "no"; });"#,
        )
        .start();
    bench.pass(minutes(60));
    let tries = || bench.printed("a").iter().filter(|line| *line == "try").count();
    assert_eq!(tries(), 1);
    bench.pass(seconds(10));
    assert_eq!(tries(), 2);
    bench.pass(seconds(20));
    assert_eq!(tries(), 3);
    bench.pass(minutes(10));
    assert_eq!(tries(), 3);
    assert_eq!(bench.outcomes("a"), ["failed", "failed", "failed"]);
}

#[test]
fn scripts_hear_each_other_after_the_commit() {
    let bench = Bench::new()
        .script("tells", r#"on_event("go", |event| { emit("news", #{ n: 7 }); print("told"); });"#)
        .script("hears", r#"on_event("news", |event| print(`${event.from} says ${event.data.n}`));"#)
        .start();
    bench.fire("tells", "", Value::Null);
    bench.expect_printed("hears", ["tells says 7"]);
}

#[test]
fn a_timer_outlives_a_restart_and_ends_with_the_run_it_wakes() {
    let mut bench = Bench::new()
        .script(
            "a",
            r#"on_event("go", |event| timer_start("nag", "10m", 5)); on_timer("nag", |timer| print(`nag ${timer.data}`));"#,
        )
        .start();
    bench.fire("a", "on_event go", Value::Null);
    bench.pass(minutes(4));
    bench.restart();
    bench.pass(minutes(5));
    bench.expect_printed("a", []);
    bench.pass(minutes(1));
    bench.expect_printed("a", ["nag 5"]);
    bench.restart();
    bench.pass(minutes(60));
    bench.expect_printed("a", []);
}

#[test]
fn secrets_are_seen_neither_in_the_log_nor_in_the_run_history() {
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
    let told = format!("{:?} {:?}", bench.logged(), bench.runs("a"));
    assert!(!told.contains("hush-hush"), "{told}");
}

#[test]
fn firing_what_is_not_there_says_what_is() {
    let bench = Bench::new().script("garden", r#"every("1h", || 1); every("2h", || 2);"#).start();
    let error = |script: &str, trigger: Option<&str>| {
        bench.wait(bench.runtime().fire(script, trigger, Value::Null)).unwrap_err()
    };
    assert_eq!(error("gardne", None), "there is no script `gardne`: did you mean `garden`?");
    assert_eq!(error("garden", None), "`garden` has several triggers, name one of them: `every 1h`, `every 2h`");
    assert_eq!(error("garden", Some("x")), "`garden` has no trigger `x`: it has `every 1h`, `every 2h`");
}

#[test]
fn a_script_that_only_fails_is_paused_and_a_save_an_order_or_time_ends_that() {
    let bench = Bench::new()
        .config("limits: { failures: 3, pause: 30s }")
        .script("a", r#"on_event("go", |event| throw "no"); on_event("fine", |event| 1);"#)
        .script("b", r#"on_event("go", |event| 1);"#)
        .start();
    let fire = |event: &str| bench.fire("a", &format!("on_event {event}"), Value::Null).outcome;
    let fail = |times| (0..times).for_each(|_| assert_eq!(fire("go"), "failed"));
    let said = || bench.said("a").iter().filter(|line| line.contains("paused for 30s: its last 3 runs failed")).count();
    fail(2);
    assert_eq!(fire("fine"), "succeeded");
    fail(3);
    assert_eq!((fire("fine"), fire("go")), ("skipped".to_owned(), "skipped".to_owned()));
    assert_eq!((bench.listed("a").status, said()), (Status::Paused, 1));
    assert_eq!(bench.fire("b", "", Value::Null).outcome, "succeeded");
    bench.wait(bench.runtime().enable("a")).unwrap();
    assert_eq!(bench.listed("a").status, Status::Live);
    fail(3);
    assert_eq!(bench.listed("a").status, Status::Paused);
    bench.edit("a", r#"on_event("go", |event| throw "still"); on_event("fine", |event| 1);"#);
    bench.until("the save to end the pause", || bench.listed("a").status == Status::Live);
    fail(3);
    bench.pass(seconds(30));
    assert_eq!(bench.listed("a").status, Status::Live);
    // After a pause one more failure is enough.
    fail(1);
    assert_eq!((bench.listed("a").status, said()), (Status::Paused, 4));
}

#[test]
fn a_timer_that_ran_out_while_rhaid_was_off_is_late_or_left_out_as_its_handler_says() {
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
    bench.pass(minutes(39) + seconds(30));
    bench.restart();
    bench.until("three to be heard", || bench.printed("a").len() == 3);
    let mut heard = bench.printed("a");
    heard.sort();
    assert_eq!(heard, ["near", "soon 30.0", "tea 1770.0"]);
    // What was left out is done with.
    bench.until("all to be settled", || bench.services().store.timers().unwrap().is_empty());
    bench.restart();
    bench.pass(minutes(60));
    bench.expect_printed("a", []);
}

#[test]
fn what_a_script_emits_as_soon_as_it_is_live_is_heard_by_all_that_go_live_with_it() {
    let mut bench = Bench::new()
        .script("a", r#"on_timer("early", || emit("early")); on_event("set", || timer_start("early", "1s"));"#)
        .script("z", r#"on_event("early", || state.add("heard", 1));"#)
        .start();
    for times in 1..=5 {
        bench.fire("a", "on_event set", Value::Null);
        bench.stop();
        bench.pass(seconds(5));
        bench.restart();
        bench.until_equal(|| bench.state("z", "heard"), Value::Int(times));
    }
}
