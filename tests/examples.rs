//! The shipped scripts and the example setups behave as documented.

use crate::program::{Program, text};

#[test]
fn every_setup_passes_the_check() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut setups: Vec<_> = std::fs::read_dir(root.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !["book", "editors", "recipes"].iter().any(|other| path.ends_with(other)))
        .map(|path| format!("examples/{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    setups.sort();
    assert_eq!(setups.len(), 8, "a new setup needs a test below; the book and its recipes have theirs");
    for setup in setups {
        assert!(root.join(&setup).join("README.md").is_file(), "{setup} has no README");
        assert!(root.join(&setup).join("rhaid.yaml").is_file(), "{setup} has no rhaid.yaml");
        let output = Program::copy_of(&setup).run(&["check"]);
        assert!(output.contains("no faults"), "{setup}:\n{output}");
    }
}

/// Runs the tests of the scripts of a setup; every script must have a test.
fn passes_its_tests(setup: &str, program: &Program) {
    let output = program.run(&["test", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    let files: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert!(report["passed"].as_u64().unwrap() >= files.len() as u64, "{setup}: {report}");
    for script in std::fs::read_dir(program.path("scripts")).unwrap() {
        let name = script.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".rhai").filter(|name| !name.ends_with("_test")) else { continue };
        assert!(files.contains(&format!("scripts/{name}_test.rhai").as_str()), "{setup}: {name} has no test");
    }
}

#[test]
fn the_tests_of_the_shipped_scripts_and_of_every_setup_pass() {
    for setup in [
        "device-watchdog",
        "home-assistant",
        "http",
        "motion-light",
        "nightly-job",
        "quick-start",
        "thermostat",
        "web-and-mqtt",
    ] {
        passes_its_tests(setup, &Program::copy_of(&format!("examples/{setup}")));
    }
    let program = Program::empty();
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for script in std::fs::read_dir(scripts).unwrap().map(|entry| entry.unwrap().path()) {
        let name = script.file_name().unwrap().to_str().unwrap();
        program.write(&format!("scripts/{name}"), &std::fs::read_to_string(&script).unwrap());
    }
    passes_its_tests("scripts", &program);
}

#[test]
fn the_shipped_scripts_need_no_external_services() {
    let mut program = Program::empty();
    for (name, script) in [
        ("hello", include_str!("../scripts/hello.rhai")),
        ("echo", include_str!("../scripts/echo.rhai")),
        ("clock", include_str!("../scripts/clock.rhai")),
        ("door", include_str!("../scripts/door.rhai")),
        ("hook", include_str!("../scripts/hook.rhai")),
    ] {
        program.write(&format!("scripts/{name}.rhai"), script);
    }
    program.start();
    program.wait_for("hello! I went live (boot)");
    assert!(program.run(&["fire", "hello", "every"]).starts_with("succeeded"));
    program.wait_for("I have run for 1 minutes");
    let answer = program.answer_on("demo/answer/ann", "demo/ask/ann", "are you there?");
    assert_eq!(answer, r#"{"times":1,"you_said":"are you there?"}"#);
    assert!(program.run(&["fire", "clock", "minute"]).starts_with("succeeded"));
    assert!(program.run(&["fire", "door", "on_timer"]).starts_with("succeeded"));
    program.wait_for("the door has been open for 30s");
    let greeting = program.eval(&format!("http_get({:?}).json().greeting", program.hook("hello/ann?lang=no")));
    assert_eq!(greeting, "hei, ann");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn the_quick_start_calls_return_the_documented_results() {
    let mut program = Program::copy_of("examples/quick-start");
    // The port is known only after the start, so the calling script is added then.
    let requests = std::fs::read_to_string(program.path("scripts/requests.rhai")).unwrap();
    std::fs::remove_file(program.path("scripts/requests.rhai")).unwrap();
    program.start();
    program.wait_for("paho/test/topic payload");
    program.write("scripts/requests.rhai", &requests.replace("127.0.0.1:7373", program.web()));
    for expected in ["200", "application/json", "utf-8", r#""login":"user""#, "401", "status"] {
        program.wait_for(expected);
    }
}

#[test]
fn the_calls_of_the_http_setup_return_the_documented_results() {
    let mut program = Program::copy_of("examples/http");
    // The port is known only after the start, so the calling script is added then.
    let calls = std::fs::read_to_string(program.path("scripts/calls.rhai")).unwrap();
    std::fs::remove_file(program.path("scripts/calls.rhai")).unwrap();
    std::fs::create_dir_all(program.path("downloads")).unwrap();
    program.start();
    program.wait_for("is live: server");
    program.write("scripts/calls.rhai", &calls.replace("127.0.0.1:7373", program.web()));
    for expected in [
        "busy: now",
        "door: come in",
        "cookies: 7",
        "form: true",
        "saved: readings.jsonl",
        "warm hours: 13",
        "body_too_large: status 200",
        "connect: status none",
        "invalid_url: status none",
    ] {
        program.wait_for(expected);
    }
}

#[test]
fn the_hall_light_turns_on_by_motion_in_the_dark_and_off_by_a_timer() {
    let mut program = Program::copy_of("examples/motion-light");
    program.start();
    let set = "zigbee2mqtt/hall_light/set";
    let on = program.answer_on(set, "zigbee2mqtt/hall_motion", r#"{"occupancy": true, "illuminance": 3}"#);
    assert_eq!(on, r#"{"brightness":200,"state":"ON"}"#);
    assert!(program.run(&["fire", "hall", "on_timer"]).starts_with("succeeded"));
    let runs = program.run(&["runs", "hall", "--json"]);
    assert!(runs.contains("zigbee2mqtt/hall_light/set"), "{runs}");
}

#[test]
fn the_thermostat_switches_at_its_limits_only() {
    let mut program = Program::copy_of("examples/thermostat");
    program.start();
    let heater = "living/heater/set";
    assert_eq!(program.answer_on(heater, "living/temperature", "19.2"), "ON");
    program.eval(r#"mqtt_publish("living/temperature", "21.2", #{ qos: 1 })"#);
    assert_eq!(program.answer_on(heater, "living/temperature", "21.6"), "OFF");
    assert_eq!(program.answer_on(heater, "living/target/set", "22.5"), "ON");
    assert!(program.run(&["fire", "living", "mqtt_silence"]).starts_with("succeeded"));
    program.wait_for("the sensor is silent: the heater goes off");
}

#[test]
fn a_silent_device_and_its_return_are_reported_once() {
    let mut program = Program::copy_of("examples/device-watchdog");
    program.start();
    let silence = r#"{"topic": "devices/freezer/state", "params": {"device": "freezer"}, "connected": true}"#;
    for _ in 0..2 {
        assert!(program.run(&["fire", "devices", "mqtt_silence", "--data", silence]).starts_with("succeeded"));
    }
    assert_eq!(program.answer_on("house/alarm", "devices/freezer/state", "ok"), "freezer is back");
    assert_eq!(program.count("freezer has been silent for an hour"), 1);
    assert_eq!(program.eval(r#"mqtt_receive("house/missing", #{ retained: true }).payload"#), "[]");
}

#[test]
fn a_web_request_becomes_a_message_and_a_message_a_web_request() {
    let mut program = Program::copy_of("examples/web-and-mqtt");
    program.start();
    let bell = program.hook("bell");
    let ring =
        format!(r#"http_post({bell:?}, #{{ headers: #{{ Authorization: "Bearer change-me" }}, data: "Ann" }}).text"#);
    assert_eq!(program.eval(&ring), r#"{"answer":"coming, Ann","rung":true}"#);
    assert_eq!(program.eval(&format!("http_post({bell:?}).status_code")), "401");
    let last = program.eval(&format!("http_get({:?}).json().payload", program.hook("last/house/bell")));
    assert_eq!(last, "Ann");
}

#[test]
fn the_nightly_report_is_written_by_its_trigger_and_by_exec() {
    let mut program = Program::copy_of("examples/nightly-job");
    program.start();
    assert!(program.run(&["fire", "report", "nightly"]).starts_with("succeeded"));
    let line = program.wait_for("wrote reports/");
    let file = line.split("wrote ").nth(1).unwrap().trim().to_owned();
    let report = |file: &str| std::fs::read_to_string(program.path(file)).unwrap();
    assert!(report(&file).contains("\"attic\""));
    let printed = program.run(&["exec", "scripts/report.rhai", "2026-11-01"]);
    assert_eq!(printed, "wrote reports/2026-11-01.json\n");
    let report: serde_json::Value = serde_json::from_str(&report("reports/2026-11-01.json")).unwrap();
    assert_eq!(report, serde_json::json!({ "day": "2026-11-01", "sensors": { "attic": 13.0, "cellar": 8.25 } }));
}

#[test]
fn home_assistant_discovers_the_sensor_and_gets_its_value() {
    let mut program = Program::copy_of("examples/home-assistant");
    program.start();
    let config =
        program.answer_on("homeassistant/sensor/rhaid_bathroom_dew_point/config", "homeassistant/status", "online");
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["state_topic"], "rhaid/dew_point/state");
    let climate = r#"{"temperature": 22.0, "humidity": 65}"#;
    assert_eq!(program.answer_on("rhaid/dew_point/state", "bathroom/climate", climate), r#"{"celsius":15.1}"#);
}

#[test]
fn a_rust_program_runs_scripts() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    // `.ci/report-time` sets the variable for the test harness; to cargo it would mean another build of everything.
    cargo.env_remove("RUSTC_BOOTSTRAP");
    let output = cargo.args(["run", "--quiet", "--example", "embed"]).output().unwrap();
    let expected = "greeter v1: on_event greet\n\
                    succeeded: \"hello Ann, for the 1. time\"\n\
                    succeeded: \"hello Ann, for the 2. time\"\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}
