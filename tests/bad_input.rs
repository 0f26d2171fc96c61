//! Bad files, databases, configs and ports: one clear message each, and other scripts keep running.

use std::fs;
use std::net::TcpListener;

use crate::bench::{Bench, minutes};
use crate::process::Home;
use crate::program::{Program, text};

const GOOD: (&str, &str) = ("good.rhai", "webhook(\"ok\", #{ methods: [\"GET\"], public: true }, |request| \"fine\");");

#[cfg(unix)]
#[test]
fn invalid_script_files_get_one_message_each_and_others_keep_running() {
    use std::os::unix::fs::symlink;

    let home = Home::new(&[GOOD, ("empty.rhai", "")]);
    fs::write(home.script("bytes.rhai"), b"let a = 1;\nlet b = \"\xe9\";").unwrap();
    fs::File::create(home.script("huge.rhai")).unwrap().set_len(100_000_000).unwrap();
    fs::create_dir(home.script("folder.rhai")).unwrap();
    for pipe in ["pipe.rhai", "pipe"] {
        assert!(std::process::Command::new("mkfifo").arg(home.script(pipe)).status().unwrap().success());
    }
    fs::write(home.path().join("outside.rhai"), "").unwrap();
    for (target, link) in [("gone", "lost.rhai"), ("loop.rhai", "loop.rhai"), ("../outside.rhai", "out.rhai")] {
        symlink(target, home.script(link)).unwrap();
    }
    symlink(".", home.script("circle")).unwrap();
    let mut process = home.start();
    process.expect("2 scripts are live: empty, good");
    let lines = [
        "error bytes: not started: bytes.rhai: `bytes.rhai` is not UTF-8 text: line 2 has an invalid byte; save it as UTF-8",
        "warn empty: empty declares no trigger and never runs",
        "error huge: not started: huge.rhai: `huge.rhai` is larger than 256KiB (`limits.script_size` in rhaid.yaml)",
        "warn `folder.rhai` is a folder, not a script",
        "error pipe: not started: pipe.rhai: `pipe.rhai` is not a regular file but a pipe, a socket or a device",
        "error lost: not started: lost.rhai: `lost.rhai` is a link to gone, which does not exist",
        "error loop: not started: loop.rhai: `loop.rhai` is a link that cannot be followed: ",
        "error out: not started: out.rhai: `out.rhai` is a link that leads outside of the scripts folder",
        "warn `circle` is ignored: it is a link to a folder that contains it",
    ];
    lines.iter().for_each(|line| drop(process.expect(line)));
    fs::write(home.script("late.rhai"), "on_start(|| print(\"late is here\"));").unwrap();
    process.expect("late is here");
    assert_eq!(process.get("ok").as_deref(), Some("fine"));
    let output = process.output();
    for line in lines {
        assert_eq!(output.matches(line).count(), 1, "{line} in\n{output}");
    }
    // The log level is the second field of a line.
    let level = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let problems = output.lines().filter_map(level).filter(|level| level == "error" || level == "warn");
    assert_eq!(problems.count(), lines.len(), "{output}");
}

#[test]
fn scripts_keep_running_while_their_folder_is_missing_and_changes_apply_when_it_returns() {
    let home = Home::new(&[GOOD, ("gone.rhai", "on_stop(|| print(\"on_stop has run\"));")]);
    let mut process = home.start();
    let moved = home.path().join("moved");
    fs::rename(home.scripts(), &moved).unwrap();
    process.expect("2 scripts keep running until the folder is back");
    assert_eq!(process.get("ok").as_deref(), Some("fine"));
    fs::remove_file(moved.join("gone.rhai")).unwrap();
    fs::rename(&moved, home.scripts()).unwrap();
    process.expect("scripts is back");
    process.expect("removed gone v1");
    process.expect("on_stop has run");
    // The response to `rhaid list` comes after all pending changes.
    assert!(home.run(&["list"]).status.success());
    fs::remove_dir_all(home.scripts()).unwrap();
    process.expect("1 script keeps running until the folder is back");
    assert_eq!(process.get("ok").as_deref(), Some("fine"));
    fs::create_dir(home.scripts()).unwrap();
    fs::write(home.script("new.rhai"), "on_start(|| print(\"new is here\"));").unwrap();
    process.expect("new is here");
    process.expect("removed good v1");
    assert!(!process.output().contains("rejected"), "{}", process.output());
}

#[test]
fn a_port_in_use_is_reported_with_the_setting_to_change() {
    let home = Home::new(&[GOOD]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = home.failed_start(&[("RHAID_WEB_LISTEN", &address)]);
    assert!(
        output.contains(&format!("{address} is in use by another program: set `web.listen` in rhaid.yaml")),
        "{output}"
    );
    let output = home.failed_start(&[("RHAID_MQTT_EMBEDDED_LISTEN", &address)]);
    assert!(output.contains(&format!("a program that is not an MQTT broker listens on {address}")), "{output}");
    assert!(output.contains("`mqtt.embedded.listen`"), "{output}");
}

#[test]
fn an_unreadable_database_is_renamed_and_reported() {
    let home = Home::new(&[GOOD]);
    let data = home.path().join(".rhaid");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("rhaid.db"), vec![0xa5; 5_000]).unwrap();
    let mut process = home.start();
    let line = process.expect("warn the database cannot be read: it was renamed");
    assert_eq!(process.get("ok").as_deref(), Some("fine"));
    let moved =
        fs::read_dir(&data).unwrap().flatten().find(|entry| entry.file_name().to_string_lossy().contains("unreadable"));
    let moved = moved.expect("the file is kept").path();
    assert_eq!(fs::read(&moved).unwrap(), vec![0xa5; 5_000]);
    assert!(line.contains(moved.file_name().unwrap().to_str().unwrap()), "{line}");
}

#[test]
fn an_invalid_or_locked_data_folder_fails_the_start() {
    let home = Home::new(&[GOOD]);
    fs::write(home.path().join("file"), "").unwrap();
    let output = home.failed_start(&[("RHAID_DATA", "file")]);
    assert!(output.contains("file is a file: move it away, or set `data` in rhaid.yaml"), "{output}");
    let mut first = home.start();
    let output = home.failed_start(&[]);
    assert!(output.contains("is in use by another rhaid (process "), "{output}");
    assert!(output.contains("): stop that one, or give this one another folder with `data` in rhaid.yaml"), "{output}");
    assert_eq!(first.get("ok").as_deref(), Some("fine"));
}

#[test]
fn a_config_that_is_not_a_text_file_fails_the_start() {
    let home = Home::new(&[GOOD]);
    let config = home.path().join("rhaid.yaml");
    fs::create_dir(&config).unwrap();
    let output = home.failed_start(&[]);
    assert!(output.contains("rhaid.yaml: it is a folder, not a file: remove it, or use another file with"), "{output}");
    fs::remove_dir(&config).unwrap();
    fs::write(&config, b"log:\n  level: \xff").unwrap();
    let output = home.failed_start(&[]);
    assert!(output.contains("rhaid.yaml: it is not UTF-8: line 2 has an invalid byte"), "{output}");
    #[cfg(unix)]
    {
        fs::remove_file(&config).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
        let output = home.failed_start(&[]);
        assert!(output.contains("rhaid.yaml: it is a pipe, socket or device, not a file"), "{output}");
    }
}

#[test]
fn a_missing_scripts_folder_fails_the_start_with_a_suggestion() {
    let home = Home::new(&[]);
    fs::remove_dir(home.scripts()).unwrap();
    let output = home.failed_start(&[]);
    assert!(output.contains("there is no folder") && output.contains("rhaid init && rhaid"), "{output}");
    assert!(!home.path().join(".rhaid").exists(), "no data folder is created");
}

#[test]
fn a_repeated_failure_does_not_flood_the_log_and_every_run_is_recorded() {
    let home = Home::new(&[GOOD, ("pump.rhai", "every(\"10ms\", || throw \"no water\");")]);
    let mut process = home.start();
    process.expect(
        "(this failure repeats: it is logged once a minute from now on; `rhaid runs pump --failed` lists each)",
    );
    let failed = || {
        let listed = home.run(&["runs", "pump", "--failed", "-n", "50", "--json"]);
        String::from_utf8_lossy(&listed.stdout).matches("no water").count()
    };
    assert!((0..500).any(|_| failed() >= 50), "every run is listed");
    assert_eq!(process.get("ok").as_deref(), Some("fine"));
    let output = process.output();
    assert_eq!(output.matches("error pump[").count(), 10, "{output}");
}

#[test]
fn setting_the_clock_back_stops_no_interval_and_no_timer() {
    let script = r#"
        every("1m", || print("beat"));
        on_start(|| timer_start("soon", "90s"));
        on_timer("soon", || print("soon"));
    "#;
    let bench = Bench::new().script("clock", script).start();
    bench.until("the timer to be set", || !bench.runs("clock").is_empty());
    bench.advance(minutes(1));
    bench.expect_printed("clock", ["beat"]);
    let before = bench.services().clock.now();
    bench.services().clock.set(before - std::time::Duration::from_secs(30));
    assert!(bench.services().clock.now() < before);
    bench.advance(minutes(3));
    bench.until("three beats and the timer", || {
        let printed = bench.printed("clock");
        printed.iter().filter(|line| *line == "beat").count() >= 3
            && printed.iter().filter(|line| *line == "soon").count() == 1
    });
}

#[test]
fn a_script_that_loads_slowly_does_not_delay_others() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "limits:\n  load_timeout: 8s\n  operations: 1000000000000\n");
    // More scripts than loader threads.
    let slow = std::thread::available_parallelism().unwrap().get() * 2 + 1;
    (0..slow).for_each(|number| program.write(&format!("scripts/a{number}.rhai"), "loop {}\n"));
    program.write("scripts/quick.rhai", "on_start(|start| print(`quick runs: ${start.reason}`));\n");
    program.start();
    let lines = program.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(at("quick runs: boot") < at("the top level runs longer than 8s"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("the top level runs longer than 8s")).count(), slow);
}

#[test]
fn values_nested_up_to_a_larger_memory_limit_end_in_a_fault() {
    let program = Program::empty();
    program.write("rhaid.yaml", "limits:\n  memory: 256MiB\n  timeout: 10m\n  operations: 1000000000000\n");
    program.write("deep.rhai", "let c = ();\nloop { let p = c; c = || p; }\n");
    let output = program.rhaid(&["exec", "deep.rhai"]);
    let fault = text(&output.stderr);
    assert!(fault.contains("uses more than 268435456 bytes of memory"), "{:?}: {fault}", output.status);
}
