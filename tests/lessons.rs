//! What hurts the users of other runners does not hurt ours: each test is a bug from someone's issue tracker.

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
    bench.pass(minutes(2));
    bench.expect_printed("tick", ["old", "old"]);
    bench.expect_said("tick", "kept v1, v2 rejected: tick.rhai:1:6");

    bench.restart();
    bench.expect_said("tick", "starts from v1, the last accepted version");
    assert_eq!(bench.listed("tick").status, Status::Kept);
    bench.pass(minutes(1));
    bench.expect_printed("tick", ["old"]);

    bench.edit("tick", r#"cron("* * * * *", || print("new"));"#).expect_said("tick", "reloaded tick v2");
    bench.pass(minutes(1));
    bench.expect_printed("tick", ["old", "new"]);
}

#[test]
fn editing_one_script_does_not_touch_the_wait_of_another() {
    let bench = Bench::new()
        .config("limits: { timeout: 10m }")
        .script("waits", r#"cron("0 * * * *", || { print("begins"); sleep("5m"); print("ends"); });"#)
        .script("other", r#"cron("0 0 1 1 *", || print("a"));"#)
        .start();
    bench.pass(minutes(62));
    bench.expect_printed("waits", ["begins"]);
    bench.edit("other", r#"cron("0 0 1 1 *", || print("b"));"#).expect_said("other", "reloaded other v2");
    bench.pass(minutes(2));
    bench.expect_printed("waits", ["begins"]);
    bench.pass(minutes(2));
    bench.expect_printed("waits", ["begins", "ends"]);
}

#[test]
fn a_trigger_that_is_deleted_from_a_file_fires_no_more() {
    let bench =
        Bench::new().script("two", r#"every("1s", || print("fast")); cron("* * * * *", || print("slow"));"#).start();
    bench.pass(seconds(1));
    bench.edit("two", r#"cron("* * * * *", || print("slow"));"#);
    bench.expect_said("two", "- every 1s");
    bench.pass(minutes(2));
    bench.expect_printed("two", ["fast", "slow", "slow"]);
}

#[test]
fn an_editors_save_dance_gives_one_reload_of_the_final_content() {
    let bench = Bench::new().script("a", r#"on_start(|| print("1"));"#).start();
    let path = |name: &str| bench.scripts().join(name);
    let reloads = || bench.said("a").iter().filter(|line| line.starts_with("reloaded")).count();

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
    assert_eq!(reloads(), 3, "{:#?}", bench.said("a"));
}

#[cfg(unix)]
#[test]
fn a_config_map_that_is_exchanged_by_a_link_gives_one_reload() {
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
fn a_thousand_reloads_leave_nothing_behind() {
    if !is_alone("lessons::a_thousand_reloads_leave_nothing_behind") {
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
    bench.pass(minutes(1));
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
fn a_module_reloads_those_who_import_it_all_or_none() {
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
    bench.expect_said("a", "kept v2, v3 rejected").expect_said("b", "kept v2, v3 rejected");
    bench.save("_lib/units.rhai", "fn one() { 3 }");
    bench.expect_printed("a", ["1", "2", "3"]).expect_printed("b", ["1", "2", "3"]);
}

#[test]
fn a_module_that_breaks_one_of_its_users_changes_none() {
    let bench = Bench::new()
        .script("_lib/units.rhai", "fn one() { 1 } fn two() { 2 }")
        .script("a", r#"import "_lib/units" as units; every("1s", || print(units::one()));"#)
        .script("b", r#"import "_lib/units" as units; every("1s", || print(units::two()));"#)
        .start();
    bench.save("_lib/units.rhai", "fn one() { 10 }");
    bench.expect_said("b", "kept v1, v2 rejected").expect_said("a", "`b.rhai`, which changes together with it");
    bench.pass(seconds(1));
    bench.expect_printed("a", ["1"]).expect_printed("b", ["2"]);
}

#[test]
fn a_script_that_never_ends_is_stopped_and_others_do_not_notice() {
    let bench = Bench::new()
        .config("limits: { timeout: 4s, operations: 100000000000 }")
        .script("spins", r#"on_event("go", |event| { loop {} });"#)
        .script("other", r#"on_event("ping", |event| "pong");"#)
        .start();
    let spinning = bench.start_fire("spins", "on_event", Value::Null);
    assert_eq!(bench.fire("other", "on_event", Value::Null).value, "pong");
    assert_eq!(bench.outcomes("spins"), [""; 0], "the endless run is still going on");
    assert_eq!(bench.wait(spinning).unwrap().outcome, "timed out");
    assert_eq!(bench.outcomes("spins"), ["timed out"]);
}

#[test]
fn an_interval_shorter_than_its_run_starves_nobody() {
    let bench = Bench::new().script("slow", r#"every("1s", || sleep("3s")); every("10s", || print("other"));"#).start();
    bench.pass(seconds(65));
    let others = bench.printed("slow").iter().filter(|line| *line == "other").count();
    assert!((5..=6).contains(&others), "{others} of 6");
}

#[test]
fn a_new_interval_begins_on_time_after_a_reload() {
    let bench = Bench::new().script("beat", r#"every("1h", || print("hour"));"#).start();
    bench.pass(minutes(30));
    bench.edit("beat", r#"every("10m", || print("ten"));"#);
    bench.pass(minutes(10));
    bench.expect_printed("beat", ["ten"]);
}

#[test]
fn a_beat_that_did_not_change_goes_on_over_a_reload() {
    let bench = Bench::new().script("beat", r#"every("1h", || print("old"));"#).start();
    bench.pass(minutes(50));
    bench.edit("beat", r#"every("1h", || print("new"));"#).expect_said("beat", "reloaded beat v2");
    bench.pass(minutes(10));
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
    bench.pass(hours(3));
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
    bench.pass(hours(3));
    bench.expect_printed("daily", ["02:30 +02:00"]);
    bench.expect_printed("hourly", ["02:00 +02:00", "02:00 +01:00", "03:00 +01:00"]);
    assert_eq!(bench.state("beat", "count"), Value::Int(3 * 360));
    assert!(bench.logged().len() < 20, "no flood of lines");
}

#[test]
fn a_disabled_script_stays_disabled_over_other_saves_and_a_restart() {
    let mut bench = Bench::new()
        .script("off", r#"every("1s", || print("tick"));"#)
        .script("on", r#"every("1s", || print("tick"));"#)
        .start();
    bench.wait(bench.runtime().disable("off")).unwrap();
    bench.edit("on", r#"every("1s", || print("tock"));"#);
    bench.pass(seconds(2));
    bench.expect_printed("on", ["tock", "tock"]).expect_printed("off", []);
    bench.restart();
    bench.pass(seconds(1));
    bench.expect_printed("on", ["tock"]).expect_printed("off", []);
    assert_eq!(bench.listed("off").status, Status::Disabled);
    bench.wait(bench.runtime().enable("off")).unwrap();
    bench.pass(seconds(1));
    bench.expect_printed("off", ["tick"]);
}

#[test]
fn a_server_that_never_answers_ends_the_run_and_it_is_marked_as_failed() {
    let bench = Bench::new().config("limits: { http_timeout: 1s }").start();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    bench.edit("calls", &format!(r#"on_event("go", |event| http_get("http://{address}/"));"#));
    let fired = bench.fire("calls", "on_event", Value::Null);
    assert_eq!(fired.outcome, "failed", "{fired:?}");
    assert_eq!(bench.outcomes("calls"), ["failed"]);
}

#[test]
fn a_script_that_emits_to_itself_is_paused_and_goes_on_when_it_is_saved() {
    let bench = Bench::new()
        .script("echo", r#"on_event("ping", |event| emit("ping")); on_event("count", |event| "here");"#)
        .start();
    bench.fire("echo", "on_event ping", Value::Null);
    bench.expect_said("echo", "paused for 1m: an event passed through 64 `emit` calls");
    assert_eq!(bench.fire("echo", "on_event count", Value::Null).outcome, "skipped");
    assert_eq!(bench.listed("echo").status, Status::Paused);
    bench.edit("echo", r#"on_event("count", |event| "here");"#);
    assert_eq!(bench.fire("echo", "", Value::Null).value, "here");
}

#[test]
fn a_kill_in_the_middle_leaves_state_old_or_new_but_never_half() {
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
    let (said, heard) = std::sync::mpsc::channel();
    for stream in [
        Box::new(rhaid.stdout.take().unwrap()) as Box<dyn Read + Send>,
        Box::new(rhaid.stderr.take().unwrap()) as Box<dyn Read + Send>,
    ] {
        let said = said.clone();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
    }
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains("thirty")) {
        lines.push(heard.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{lines:#?}")));
    }
    rhaid.kill().unwrap();
    rhaid.wait().unwrap();
    let store = Store::open(&folder.path().join(".rhaid")).unwrap();
    let value = |key: &str| store.value("script:count", key).unwrap();
    assert_eq!(value("a"), value("b"));
    // The thirtieth run may have been killed before its commit.
    assert!(matches!(value("a"), Some(Value::Int(29..))), "{:?}", value("a"));
}

/// Returns whether this process runs one test only; else runs that test in one that does. Memory is counted by process.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "TEST_ALONE_IN_ITS_PROCESS";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
    false
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
