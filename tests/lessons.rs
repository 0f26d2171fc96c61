//! Known bugs of other script runners: each test reproduces one from a public issue tracker.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use rhaid::runtime::Status;
use rhaid::services::store::Store;
use rhaid::value::Value;

use crate::bench::{Bench, hours, minutes, seconds};
use crate::program::text;

#[test]
fn a_broken_save_keeps_the_running_version_also_over_a_restart() {
    let mut bench = Bench::new().script("tick", r#"cron("* * * * *", || print("old"));"#).start();
    bench.edit("tick", "cron(").expect_fault("tick.rhai:1:6");
    bench.advance(minutes(2));
    bench.expect_printed("tick", ["old", "old"]);
    bench.expect_logged("tick", "kept v1, v2 rejected: tick.rhai:1:6");

    bench.restart();
    bench.expect_logged("tick", "starts from v1, the last accepted version");
    assert_eq!(bench.listed("tick").status, Status::Kept);
    bench.advance(minutes(1));
    bench.expect_printed("tick", ["old"]);

    bench.edit("tick", r#"cron("* * * * *", || print("new"));"#).expect_logged("tick", "reloaded tick v2");
    bench.advance(minutes(1));
    bench.expect_printed("tick", ["old", "new"]);
}

#[test]
fn editing_one_script_does_not_interrupt_a_sleep_of_another() {
    let bench = Bench::new()
        .config("limits: { timeout: 10m }")
        .script("waits", r#"cron("0 * * * *", || { print("starts"); sleep("5m"); print("ends"); });"#)
        .script("other", r#"cron("0 0 1 1 *", || print("a"));"#)
        .start();
    bench.advance(minutes(62));
    bench.expect_printed("waits", ["starts"]);
    bench.edit("other", r#"cron("0 0 1 1 *", || print("b"));"#).expect_logged("other", "reloaded other v2");
    bench.advance(minutes(2));
    bench.expect_printed("waits", ["starts"]);
    bench.advance(minutes(2));
    bench.expect_printed("waits", ["starts", "ends"]);
}

#[test]
fn a_trigger_deleted_from_a_file_does_not_fire() {
    let bench =
        Bench::new().script("two", r#"every("1s", || print("fast")); cron("* * * * *", || print("slow"));"#).start();
    bench.advance(seconds(1));
    bench.edit("two", r#"cron("* * * * *", || print("slow"));"#);
    bench.expect_logged("two", "- every 1s");
    bench.advance(minutes(2));
    bench.expect_printed("two", ["fast", "slow", "slow"]);
}

#[test]
fn an_editors_save_sequence_causes_one_reload_of_the_final_content() {
    let bench = Bench::new().script("a", r#"on_start(|| print("1"));"#).start();
    let path = |name: &str| bench.scripts().join(name);
    let reloads = || bench.logged_about("a").iter().filter(|line| line.starts_with("reloaded")).count();

    fs::write(path("a.rhai.tmp"), r#"on_start(|| print("2"));"#).unwrap();
    fs::rename(path("a.rhai.tmp"), path("a.rhai")).unwrap();
    bench.until_equal(|| bench.printed("a"), vec!["1".into(), "2".into()]);

    fs::rename(path("a.rhai"), path("a.rhai~")).unwrap();
    fs::write(path("a.rhai"), r#"on_start(|| print("3"));"#).unwrap();
    fs::remove_file(path("a.rhai~")).unwrap();
    bench.until_equal(|| bench.printed("a").len(), 3);

    fs::write(path("a.rhai"), "").unwrap();
    fs::write(path("a.rhai"), "on_start(|| pr").unwrap();
    fs::write(path("a.rhai"), r#"on_start(|| print("4"));"#).unwrap();
    bench.until_equal(|| bench.printed("a").last().cloned(), Some("4".into()));

    bench.settle();
    assert_eq!(bench.printed("a"), ["1", "2", "3", "4"]);
    assert_eq!(reloads(), 3, "{:#?}", bench.logged_about("a"));
}

#[cfg(unix)]
#[test]
fn a_kubernetes_config_map_swap_causes_one_reload() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new().start();
    let folder = bench.scripts();
    let put = |version: &str| {
        let data = folder.join(format!("..{version}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("map.rhai"), format!("on_start(|| print(\"{version}\"));")).unwrap();
        symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    put("one");
    symlink("..data/map.rhai", folder.join("map.rhai")).unwrap();
    bench.expect_printed("map", ["one"]);
    put("two");
    bench.expect_printed("map", ["one", "two"]);
    fs::remove_dir_all(folder.join("..one")).unwrap();
    bench.settle();
    bench.expect_printed("map", ["one", "two"]);
}

#[test]
fn a_thousand_reloads_leak_no_memory() {
    if !is_alone("lessons::a_thousand_reloads_leak_no_memory") {
        return;
    }
    let bench =
        Bench::new().script("tick", r#"cron("* * * * *", || print("tick")); on_event("x", |event| {});"#).start();
    let reload = |count: u32| {
        for number in 0..count {
            bench.apply(&format!("location: {{ latitude: {}, longitude: 10 }}", number % 90)).unwrap();
        }
    };
    reload(200);
    let before = resident_kib();
    reload(800);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more after 800 reloads");
    bench.advance(minutes(1));
    bench.expect_printed("tick", ["tick"]);
}

#[test]
fn a_script_in_a_new_subfolder_is_found() {
    let bench = Bench::new().start();
    bench.edit("garden/pump", r#"on_start(|start| print(start.reason));"#);
    bench.expect_printed("garden/pump", ["reload"]);
    bench.edit("garden/deep/er/well", r#"on_start(|start| print(start.reason));"#);
    bench.expect_printed("garden/deep/er/well", ["reload"]);
}

#[test]
fn a_module_reloads_all_of_its_importers_or_none() {
    let script = r#"import "_lib/units" as units; on_start(|| print(units::one()));"#;
    let bench = Bench::new()
        .script("_lib/units.rhai", "fn one() { 1 }")
        .script("a", script)
        .script("b", script)
        .script("alone", r#"on_start(|| print("alone"));"#)
        .start();
    bench.save("_lib/units.rhai", "fn one() { 2 }");
    bench.expect_printed("a", ["1", "2"]).expect_printed("b", ["1", "2"]).expect_printed("alone", ["alone"]);

    bench.save("_lib/units.rhai", "fn one() { 3 ");
    bench.expect_logged("a", "kept v2, v3 rejected").expect_logged("b", "kept v2, v3 rejected");
    bench.save("_lib/units.rhai", "fn one() { 3 }");
    bench.expect_printed("a", ["1", "2", "3"]).expect_printed("b", ["1", "2", "3"]);
}

#[test]
fn a_module_that_breaks_one_importer_changes_none() {
    let bench = Bench::new()
        .script("_lib/units.rhai", "fn one() { 1 } fn two() { 2 }")
        .script("a", r#"import "_lib/units" as units; every("1s", || print(units::one()));"#)
        .script("b", r#"import "_lib/units" as units; every("1s", || print(units::two()));"#)
        .start();
    bench.save("_lib/units.rhai", "fn one() { 10 }");
    bench.expect_logged("b", "kept v1, v2 rejected").expect_logged("a", "`b.rhai`, which changes together with it");
    bench.advance(seconds(1));
    bench.expect_printed("a", ["1"]).expect_printed("b", ["2"]);
}

#[test]
fn an_endless_script_is_stopped_and_others_keep_running() {
    let bench = Bench::new()
        .config("limits: { timeout: 4s, operations: 100000000000 }")
        .script("spins", r#"on_event("go", |event| { loop {} });"#)
        .script("other", r#"on_event("ping", |event| "pong");"#)
        .start();
    let spinning = bench.start_fire("spins", "on_event", Value::Null);
    assert_eq!(bench.fire("other", "on_event", Value::Null).value, "pong");
    assert_eq!(bench.outcomes("spins"), [""; 0], "the endless run is still active");
    assert_eq!(bench.wait(spinning).unwrap().outcome, "timed out");
    assert_eq!(bench.outcomes("spins"), ["timed out"]);
}

#[test]
fn an_interval_shorter_than_its_run_starves_no_other_trigger() {
    let bench = Bench::new().script("slow", r#"every("1s", || sleep("3s")); every("10s", || print("other"));"#).start();
    bench.advance(seconds(65));
    let others = bench.printed("slow").iter().filter(|line| *line == "other").count();
    assert!((5..=6).contains(&others), "{others} of 6");
}

#[test]
fn a_changed_interval_starts_at_the_reload() {
    let bench = Bench::new().script("beat", r#"every("1h", || print("hour"));"#).start();
    bench.advance(minutes(30));
    bench.edit("beat", r#"every("10m", || print("ten"));"#);
    bench.advance(minutes(10));
    bench.expect_printed("beat", ["ten"]);
}

#[test]
fn an_unchanged_interval_keeps_its_phase_over_a_reload() {
    let bench = Bench::new().script("beat", r#"every("1h", || print("old"));"#).start();
    bench.advance(minutes(50));
    bench.edit("beat", r#"every("1h", || print("new"));"#).expect_logged("beat", "reloaded beat v2");
    bench.advance(minutes(10));
    bench.expect_printed("beat", ["new"]);
}

#[test]
fn the_clock_change_in_spring_skips_no_job_and_doubles_none() {
    let bench = Bench::new()
        .at("2026-03-29T01:30:00+01:00[Europe/Berlin]")
        .script("daily", r#"cron("30 2 * * *", |tick| print(tick.now.format("%H:%M")));"#)
        .script("hourly", r#"cron("0 * * * *", |tick| print(tick.now.format("%H:%M")));"#)
        .script("beat", r#"every("10s", || state.add("count", 1));"#)
        .start();
    bench.advance(hours(3));
    bench.expect_printed("daily", ["03:00"]);
    bench.expect_printed("hourly", ["03:00", "04:00", "05:00"]);
    assert_eq!(bench.state("beat", "count"), Value::Int(3 * 360));
}

#[test]
fn the_clock_change_in_autumn_skips_no_job_and_doubles_none() {
    let bench = Bench::new()
        .at("2026-10-25T01:30:00+02:00[Europe/Berlin]")
        .script("daily", r#"cron("30 2 * * *", |tick| print(tick.now.format("%H:%M %:z")));"#)
        .script("hourly", r#"cron("0 * * * *", |tick| print(tick.now.format("%H:%M %:z")));"#)
        .script("beat", r#"every("10s", || state.add("count", 1));"#)
        .start();
    bench.advance(hours(3));
    bench.expect_printed("daily", ["02:30 +02:00"]);
    bench.expect_printed("hourly", ["02:00 +02:00", "02:00 +01:00", "03:00 +01:00"]);
    assert_eq!(bench.state("beat", "count"), Value::Int(3 * 360));
    assert!(bench.logged().len() < 20, "too many log lines");
}

#[test]
fn a_disabled_script_stays_disabled_over_other_saves_and_a_restart() {
    let mut bench = Bench::new()
        .script("off", r#"every("1s", || print("tick"));"#)
        .script("on", r#"every("1s", || print("tick"));"#)
        .start();
    bench.wait(bench.runtime().disable("off")).unwrap();
    bench.edit("on", r#"every("1s", || print("tock"));"#);
    bench.advance(seconds(2));
    bench.expect_printed("on", ["tock", "tock"]).expect_printed("off", []);
    bench.restart();
    bench.advance(seconds(1));
    bench.expect_printed("on", ["tock"]).expect_printed("off", []);
    assert_eq!(bench.listed("off").status, Status::Disabled);
    bench.wait(bench.runtime().enable("off")).unwrap();
    bench.advance(seconds(1));
    bench.expect_printed("off", ["tick"]);
}

#[test]
fn a_server_that_never_responds_fails_the_run() {
    let bench = Bench::new().config("limits: { http_timeout: 1s }").start();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    bench.edit("calls", &format!(r#"on_event("go", |event| http_get("http://{address}/"));"#));
    let fired = bench.fire("calls", "on_event", Value::Null);
    assert_eq!(fired.outcome, "failed", "{fired:?}");
    assert_eq!(bench.outcomes("calls"), ["failed"]);
}

#[test]
fn a_script_in_an_event_loop_is_paused_until_it_is_saved() {
    let bench = Bench::new()
        .script("echo", r#"on_event("ping", |event| emit("ping")); on_event("count", |event| "here");"#)
        .start();
    bench.fire("echo", "on_event ping", Value::Null);
    bench.expect_logged("echo", "paused for 1m: an event passed through 64 `emit` calls");
    assert_eq!(bench.fire("echo", "on_event count", Value::Null).outcome, "skipped");
    assert_eq!(bench.listed("echo").status, Status::Paused);
    bench.edit("echo", r#"on_event("count", |event| "here");"#);
    assert_eq!(bench.fire("echo", "", Value::Null).value, "here");
}

#[test]
fn a_kill_during_a_commit_leaves_the_old_or_the_new_state() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    let text = r#"every("10ms", || { state.add("a", 1); state.add("b", 1); if state.a == 30 { print("thirty"); } });"#;
    fs::write(folder.path().join("scripts/count.rhai"), text).unwrap();
    let config = "mqtt: { embedded: { listen: \"127.0.0.1:0\" } }\nweb: { listen: \"127.0.0.1:0\" }\n";
    fs::write(folder.path().join("rhaid.yaml"), config).unwrap();
    let mut rhaid = Command::new(env!("CARGO_BIN_EXE_rhaid"))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, received) = std::sync::mpsc::channel();
    for stream in [
        Box::new(rhaid.stdout.take().unwrap()) as Box<dyn Read + Send>,
        Box::new(rhaid.stderr.take().unwrap()) as Box<dyn Read + Send>,
    ] {
        let sender = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
    }
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains("thirty")) {
        lines.push(received.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{lines:#?}")));
    }
    rhaid.kill().unwrap();
    rhaid.wait().unwrap();
    let store = Store::open(&folder.path().join(".rhaid")).unwrap();
    let value = |key: &str| store.value("script:count", key).unwrap();
    assert_eq!(value("a"), value("b"));
    // The kill may come before the commit of the thirtieth run.
    assert!(matches!(value("a"), Some(Value::Int(29..))), "{:?}", value("a"));
}

/// Returns whether this process runs one test only; otherwise runs the test in such a process, because memory is measured per process.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "TEST_ALONE_IN_ITS_PROCESS";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    false
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
