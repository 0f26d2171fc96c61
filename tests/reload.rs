//! Reloads are transactions, and bad files are reported clearly.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rhaid::runtime::Status;
use rhaid::services::mqtt::Publish;
use rhaid::value::Value;

use crate::bench::{Bench, minutes, seconds};

#[test]
fn saving_the_same_content_again_changes_nothing() {
    let text = r#"on_start(|| print("start"));"#;
    let bench = Bench::new().script("a", text).start();
    bench.save("a", text).settle();
    bench.expect_printed("a", ["start"]);
    assert_eq!(bench.logged_about("a"), [bench.logged_about("a")[0].clone()], "only the load is logged");
}

#[test]
fn a_run_ends_on_its_version_and_queued_events_go_to_the_new_one() {
    let bench = Bench::new()
        .config("limits: { timeout: 10m }")
        .script("a", r#"on_event("go", |event| { print("old starts"); sleep("1m"); print("old ends"); });"#)
        .start();
    let first = bench.start_fire("a", "on_event", Value::Null);
    bench.expect_printed("a", ["old starts"]);
    let second = bench.start_fire("a", "on_event", Value::Null);
    bench.until("the second event to be queued", || bench.listed("a").waiting == 1);
    bench.edit("a", r#"on_event("go", |event| print("new"));"#).expect_logged("a", "reloaded a v2");
    bench.expect_printed("a", ["old starts"]);
    bench.advance(minutes(1));
    bench.expect_printed("a", ["old starts", "old ends", "new"]);
    assert_eq!(bench.wait(first).unwrap().outcome, "succeeded");
    assert_eq!(bench.wait(second).unwrap().outcome, "succeeded");
    assert_eq!(bench.runs("a").iter().map(|row| row.version).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_reload_line_lists_added_and_removed_triggers() {
    let bench = Bench::new().script("a", r#"every("1h", || 1); cron("0 7 * * *", || 2);"#).start();
    bench.edit("a", r#"every("1h", || 1); every("2h", || 2);"#);
    bench.expect_logged("a", "): + every 2h, - cron 0 7 * * *");
}

#[test]
fn a_script_without_triggers_gets_a_hint_about_jobs() {
    let bench = Bench::new().script("job", "let x = 1;").start();
    bench.expect_logged(
        "job",
        "job declares no trigger and never runs: bind it as a job in rhaid.yaml under `triggers:`",
    );
    bench.edit("job", "print(args);");
    bench.expect_logged("job", "job.rhai:1:7: unknown variable `args`");
    bench.expect_logged("job", "help: only a job has `args`: bind it in rhaid.yaml under `triggers:`");
}

#[test]
fn a_job_with_a_deleted_file_does_not_run() {
    let mut bench = Bench::new().config("triggers: [{ every: 1s, job: a.rhai }]").script("a", "print(1);").start();
    bench.advance(seconds(1));
    bench.expect_printed("a", ["1"]);
    bench.remove("a");
    bench.expect_logged("a", "not started: rhaid.yaml:1:30: there is no file `a.rhai`");
    bench.advance(seconds(3));
    bench.expect_printed("a", ["1"]);
    bench.restart();
    bench.advance(seconds(3));
    assert_eq!(bench.listed("a").status, Status::Rejected);
    bench.edit("a", "print(2);").expect_logged("a", "loaded a v");
    bench.advance(seconds(1));
    bench.expect_printed("a", ["2"]);
}

#[test]
fn a_rejected_version_shows_the_source_line_and_the_caret() {
    let bench = Bench::new().script("a", "every(\"1h\", || 1);").start();
    bench.edit("a", "every(\"1h\", || 1);\nlet x = nonsense;\n");
    bench.expect_logged("a", "kept v1, v2 rejected: a.rhai:2:9");
    bench.expect_logged("a", "2 | let x = nonsense;\n  |         ^");
    assert_eq!(bench.listed("a").status, Status::Kept);
    bench.edit("a", "every(\"1h\", || 1);").expect_logged("a", "a is back at v1");
    assert_eq!(bench.listed("a").status, Status::Live);
}

#[test]
fn start_and_stop_handlers_get_the_reason() {
    let text = |word: &str| {
        format!(r#"on_start(|start| print("{word} " + start.reason)); on_stop(|stop| print("stop " + stop.reason));"#)
    };
    let bench = Bench::new().script("a", &text("one")).start();
    bench.edit("a", &text("two")).expect_printed("a", ["one boot", "two reload"]);
    bench.wait(bench.runtime().disable("a")).unwrap();
    bench.expect_printed("a", ["one boot", "two reload", "stop disabled"]);
    bench.wait(bench.runtime().enable("a")).unwrap();
    bench.expect_printed("a", ["one boot", "two reload", "stop disabled", "two enabled"]);
    bench.remove("a");
    bench.expect_printed("a", ["one boot", "two reload", "stop disabled", "two enabled", "stop removed"]);
    assert!(bench.list().is_empty());
}

#[test]
fn stopping_lets_runs_finish_and_calls_on_stop() {
    let mut bench = Bench::new()
        .script("a", r#"every("1s", || { state.begun = true; }); on_stop(|stop| { state.stopped = stop.reason; });"#)
        .start();
    bench.advance(seconds(1));
    bench.restart();
    assert_eq!(bench.state("a", "stopped"), Value::from("stopping"));
    assert_eq!(bench.state("a", "begun"), Value::Bool(true));
}

#[test]
fn version_numbers_continue_after_a_restart() {
    let mut bench = Bench::new().script("a", "every(\"1h\", || 1);").start();
    bench.edit("a", "every(\"2h\", || 1);").expect_logged("a", "reloaded a v2");
    bench.restart();
    assert_eq!(bench.listed("a").version, 2);
    bench.edit("a", "every(\"3h\", || 1);").expect_logged("a", "reloaded a v3");
}

#[test]
fn bad_files_get_one_message_each_and_others_keep_running() {
    let bench =
        Bench::new().config("limits: { script_size: 1KiB }").script("good", "every(\"1s\", || print(1));").start();
    let path = |name: &str| bench.scripts().join(name);
    fs::write(path("bytes.rhai"), b"print(\"\xff\");").unwrap();
    fs::write(path("big.rhai"), vec![b' '; 2_000]).unwrap();
    fs::write(path("empty.rhai"), "").unwrap();
    fs::create_dir(path("folder.rhai")).unwrap();
    fs::write(path("folder.rhai/x.rhai"), "").unwrap();
    bench.expect_logged("bytes", "not started: bytes.rhai: `bytes.rhai` is not UTF-8 text: line 1");
    bench.expect_logged("", "`folder.rhai` is a folder, not a script");
    bench.expect_logged("big", "is larger than 1KiB (`limits.script_size` in rhaid.yaml)");
    bench.until("the empty script to become active", || bench.list().iter().any(|listed| listed.name == "empty"));
    assert_eq!(bench.listed("empty").status, Status::Live);
    bench.advance(seconds(1));
    bench.expect_printed("good", ["1"]);
}

#[cfg(unix)]
#[test]
fn symbolic_links_out_of_the_folder_and_pipes_are_not_scripts() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.rhai"), "every(\"1s\", || 1);").unwrap();
    let setup = Bench::new().script("good", "every(\"1s\", || print(1));");
    std::os::unix::fs::symlink(outside.path().join("x.rhai"), setup.scripts().join("out.rhai")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(setup.scripts().join("pipe.rhai")).status().unwrap();
    assert!(pipe.success());
    let bench = setup.start();
    bench.expect_logged("out", "`out.rhai` is a link that leads outside of the scripts folder");
    bench.expect_logged("pipe", "`pipe.rhai` is not a regular file");
    bench.advance(seconds(1));
    bench.expect_printed("good", ["1"]);
}

#[test]
fn a_changed_config_binds_jobs_and_a_broken_one_changes_nothing() {
    let bench = Bench::new().script("_jobs/night.rhai", "print(`night ${event.missed}`);").start();
    assert!(bench.list().is_empty());
    let yaml = "triggers:\n  - job: _jobs/night.rhai\n    every: 1h\n";
    let difference = bench.apply(yaml).unwrap();
    assert_eq!(difference.applied, ["triggers"]);
    assert!(bench.listed("_jobs/night").is_job);
    let faults = bench.apply("triggers:\n  - job: _jobs/night.rhai\n    every: soon\n").unwrap_err();
    assert_eq!((faults[0].location.line, faults.len()), (3, 1), "{faults:?}");
    assert_eq!(bench.listed("_jobs/night").triggers[0].summary, "every 1h");
    bench.advance(minutes(60));
    bench.expect_printed("_jobs/night", ["night 0"]);
    bench.apply("").unwrap();
    bench.until("the job to be removed", || bench.list().is_empty());
}

#[test]
fn a_withdrawn_permission_stops_dependent_scripts_at_once() {
    let bench = Bench::new()
        .with_broker()
        .script(
            "a",
            r#"mqtt_subscribe("door", |msg| print(msg.payload)); every("1s", || print("tick")); on_stop(|stop| print(stop.reason));"#,
        )
        .script("b", r#"mqtt_subscribe("door", |msg| print(msg.payload));"#)
        .start();
    bench.subscribed();
    bench.publish("door", "1");
    bench.expect_printed("a", ["1"]).expect_printed("b", ["1"]);
    bench.apply("permissions:\n  \"a\":\n    subscribe: [\"window\"]").unwrap();
    bench.expect_logged("a", "stopped v1: rhaid.yaml no longer allows it: a.rhai:1:16: ");
    bench.expect_logged("a", "`a` may not subscribe to \"door\" (rhaid.yaml:2:3)");
    bench.expect_logged("a", "help: in rhaid.yaml, line 2: add `\"door\"` to `subscribe` of \"a\"");
    bench.expect_printed("a", ["1", "denied"]);
    assert_eq!(bench.logged_about("a").iter().filter(|line| line.contains("kept")).count(), 0);
    bench.publish("door", "2");
    bench.expect_printed("b", ["1", "2"]);
    bench.advance(seconds(3));
    assert_eq!(bench.printed("a"), ["1", "denied"]);
    let listed = bench.listed("a");
    assert_eq!((listed.status, listed.version), (Status::Rejected, 0));
    bench.apply("permissions:\n  \"a\":\n    subscribe: [\"window\", \"door\"]").unwrap();
    bench.until("the script to become active again", || bench.listed("a").status == Status::Live);
    bench.subscribed();
    bench.publish("door", "3");
    bench.expect_printed("a", ["1", "denied", "3"]);
}

#[test]
fn a_withdrawn_permission_stops_a_kept_older_version_too() {
    let good = r#"mqtt_subscribe("door", |msg| print(msg.payload));"#;
    let bench = Bench::new().script("a", good).script("b", good).start();
    bench.edit("a", "cron(").expect_logged("a", "kept v1");
    bench.apply("permissions: { \"*\": { subscribe: [\"window\"] } }").unwrap();
    for script in ["a", "b"] {
        bench.expect_logged(script, "stopped v1: rhaid.yaml no longer allows it");
        assert_eq!(bench.listed(script).status, Status::Rejected);
    }
}

#[test]
fn changed_limits_apply_at_once() {
    let bench = Bench::new()
        .config("limits: { call_depth: 10, load_timeout: 1ms }")
        .script("deep", "fn down(n) { if n == 0 { 0 } else { down(n - 1) } }\non_event(\"go\", || down(20));")
        .script("slow", "let sum = 0; for n in 0..300000 { sum += n; }\non_event(\"go\", || 1);")
        .start();
    bench.expect_logged("slow", ": the top level runs longer than 1ms");
    let outcome = || bench.fire("deep", "", Value::Null).outcome;
    // On a busy machine the other script may exceed a millisecond as well.
    bench.apply("limits: { call_depth: 10, load_timeout: 60s }").unwrap();
    bench.until("both scripts to become active", || bench.list().iter().all(|listed| listed.status == Status::Live));
    assert_eq!(outcome(), "failed");
    bench.apply("limits: { call_depth: 30, load_timeout: 60s }").unwrap();
    assert_eq!(outcome(), "succeeded");
    bench.apply("limits: { call_depth: 30, load_timeout: 60s, operations: 1000 }").unwrap();
    bench.edit("deep", "on_event(\"go\", || { let n = 0; while n < 2000 { n += 1; } });");
    assert_eq!(outcome(), "failed");
    bench.apply("limits: { operations: 1000000 }").unwrap();
    assert_eq!(outcome(), "succeeded");
}

#[test]
fn twenty_reloads_neither_lose_nor_repeat_messages() {
    let versions = [
        "mqtt_subscribe(\"n/{id}\", |msg| { state.add(msg.params.id, 1); });",
        "mqtt_subscribe(\"n/{number}\", |msg| { state.add(msg.params.number, 1); });",
        "mqtt_subscribe([\"n/{id}\", \"other\"], #{ qos: 1 }, |msg| { state.add(msg.params.id, 1); });",
        "mqtt_subscribe(\"other\", |msg| ()); mqtt_subscribe([\"n/{id}\", \"more\"], |msg| { state.add(msg.params.id, 1); });",
        "mqtt_subscribe(\"n/#\", #{ mode: \"parallel\" }, |msg| { state.add(msg.topic.sub_string(2), 1); });",
    ];
    let config = "limits:\n  breaker: 1000000\n  queue: 100000\n";
    let bench = Bench::new().config(config).with_broker().script("counter", versions[0]).start();
    bench.subscribed();
    let (services, stop) = (bench.services().clone(), Arc::new(AtomicBool::new(false)));
    let is_stopped = stop.clone();
    let sender = bench.test_client().clone();
    let sending = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut number = 0;
        while !is_stopped.load(Ordering::Relaxed) {
            let publish = Publish { topic: format!("n/{number}"), payload: "x".into(), ..Publish::default() };
            runtime.block_on(sender.publish(publish)).unwrap();
            number += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        number
    });
    for round in 1..=20 {
        let version = versions[round % versions.len()];
        bench.edit("counter", &format!("{version} // {round}"));
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    let sent: i64 = sending.join().unwrap();
    assert!(sent > 200, "only {sent} messages were sent");
    let counts = || -> Vec<Value> {
        (0..sent)
            .map(|id| services.store.value("script:counter", &id.to_string()).unwrap().unwrap_or_default())
            .collect()
    };
    let wrong = || -> Vec<(usize, Value)> {
        counts().into_iter().enumerate().filter(|(_, count)| *count != Value::Int(1)).collect()
    };
    bench.until_equal(wrong, Vec::new());
}
