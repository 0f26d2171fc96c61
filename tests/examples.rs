//! The shipped scripts and every worked setup do what their words promise.

use crate::house::{House, text};

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
        let output = House::copy_of(&setup).run(&["check"]);
        assert!(output.contains("no faults"), "{setup}:\n{output}");
    }
}

/// Runs the tests beside the scripts of a folder with a house; each script has some.
fn passes_its_tests(setup: &str, house: &House) {
    let output = house.run(&["test", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    let files: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert!(report["passed"].as_u64().unwrap() >= files.len() as u64, "{setup}: {report}");
    for script in std::fs::read_dir(house.path("scripts")).unwrap() {
        let name = script.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".rhai").filter(|name| !name.ends_with("_test")) else { continue };
        assert!(files.contains(&format!("scripts/{name}_test.rhai").as_str()), "{setup}: {name} has no test");
    }
}

#[test]
fn the_tests_beside_the_shipped_scripts_and_in_every_setup_pass() {
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
        passes_its_tests(setup, &House::copy_of(&format!("examples/{setup}")));
    }
    let house = House::empty();
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for script in std::fs::read_dir(scripts).unwrap().map(|entry| entry.unwrap().path()) {
        let name = script.file_name().unwrap().to_str().unwrap();
        house.write(&format!("scripts/{name}"), &std::fs::read_to_string(&script).unwrap());
    }
    passes_its_tests("scripts", &house);
}

#[test]
fn the_shipped_scripts_need_nothing_outside() {
    let mut house = House::empty();
    for (name, script) in [
        ("hello", include_str!("../scripts/hello.rhai")),
        ("echo", include_str!("../scripts/echo.rhai")),
        ("clock", include_str!("../scripts/clock.rhai")),
        ("door", include_str!("../scripts/door.rhai")),
        ("hook", include_str!("../scripts/hook.rhai")),
    ] {
        house.write(&format!("scripts/{name}.rhai"), script);
    }
    house.start();
    house.wait_for("hello! I went live (boot)");
    assert!(house.run(&["fire", "hello", "every"]).starts_with("succeeded"));
    house.wait_for("I have run for 1 minutes");
    let answer = house.answer_on("demo/answer/ann", "demo/ask/ann", "are you there?");
    assert_eq!(answer, r#"{"times":1,"you_said":"are you there?"}"#);
    assert!(house.run(&["fire", "clock", "minute"]).starts_with("succeeded"));
    assert!(house.run(&["fire", "door", "on_timer"]).starts_with("succeeded"));
    house.wait_for("the door has been open for 30s");
    let greeting = house.eval(&format!("http_get({:?}).json().greeting", house.hook("hello/ann?lang=no")));
    assert_eq!(greeting, "hei, ann");
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn the_quick_start_calls_answer_as_their_models_do() {
    let mut house = House::copy_of("examples/quick-start");
    // The server's port is not known before it runs, so its caller is added when it does.
    let requests = std::fs::read_to_string(house.path("scripts/requests.rhai")).unwrap();
    std::fs::remove_file(house.path("scripts/requests.rhai")).unwrap();
    house.start();
    house.wait_for("paho/test/topic payload");
    house.write("scripts/requests.rhai", &requests.replace("127.0.0.1:7373", house.web()));
    for expected in ["200", "application/json", "utf-8", r#""login":"user""#, "401", "status"] {
        house.wait_for(expected);
    }
}

#[test]
fn the_calls_of_the_http_setup_come_out_as_its_script_says() {
    let mut house = House::copy_of("examples/http");
    // The server's port is not known before it runs, so its caller is added when it does.
    let calls = std::fs::read_to_string(house.path("scripts/calls.rhai")).unwrap();
    std::fs::remove_file(house.path("scripts/calls.rhai")).unwrap();
    std::fs::create_dir_all(house.path("downloads")).unwrap();
    house.start();
    house.wait_for("is live: server");
    house.write("scripts/calls.rhai", &calls.replace("127.0.0.1:7373", house.web()));
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
        house.wait_for(expected);
    }
}

#[test]
fn the_hall_is_lit_when_something_moves_in_the_dark_and_not_for_ever() {
    let mut house = House::copy_of("examples/motion-light");
    house.start();
    let set = "zigbee2mqtt/hall_light/set";
    let on = house.answer_on(set, "zigbee2mqtt/hall_motion", r#"{"occupancy": true, "illuminance": 3}"#);
    assert_eq!(on, r#"{"brightness":200,"state":"ON"}"#);
    assert!(house.run(&["fire", "hall", "on_timer"]).starts_with("succeeded"));
    let runs = house.run(&["runs", "hall", "--json"]);
    assert!(runs.contains("zigbee2mqtt/hall_light/set"), "{runs}");
}

#[test]
fn the_thermostat_switches_at_its_limits_only() {
    let mut house = House::copy_of("examples/thermostat");
    house.start();
    let heater = "living/heater/set";
    assert_eq!(house.answer_on(heater, "living/temperature", "19.2"), "ON");
    house.eval(r#"mqtt_publish("living/temperature", "21.2", #{ qos: 1 })"#);
    assert_eq!(house.answer_on(heater, "living/temperature", "21.6"), "OFF");
    assert_eq!(house.answer_on(heater, "living/target/set", "22.5"), "ON");
    assert!(house.run(&["fire", "living", "mqtt_silence"]).starts_with("succeeded"));
    house.wait_for("the sensor is silent: the heater goes off");
}

#[test]
fn a_silent_device_is_told_once_and_its_return_too() {
    let mut house = House::copy_of("examples/device-watchdog");
    house.start();
    let silence = r#"{"topic": "devices/freezer/state", "params": {"device": "freezer"}, "connected": true}"#;
    for _ in 0..2 {
        assert!(house.run(&["fire", "devices", "mqtt_silence", "--data", silence]).starts_with("succeeded"));
    }
    assert_eq!(house.answer_on("house/alarm", "devices/freezer/state", "ok"), "freezer is back");
    assert_eq!(house.count("freezer has been silent for an hour"), 1);
    assert_eq!(house.eval(r#"mqtt_receive("house/missing", #{ retained: true }).payload"#), "[]");
}

#[test]
fn a_web_request_becomes_a_message_and_a_message_a_web_request() {
    let mut house = House::copy_of("examples/web-and-mqtt");
    house.start();
    let bell = house.hook("bell");
    let ring =
        format!(r#"http_post({bell:?}, #{{ headers: #{{ Authorization: "Bearer change-me" }}, data: "Ann" }}).text"#);
    assert_eq!(house.eval(&ring), r#"{"answer":"coming, Ann","rung":true}"#);
    assert_eq!(house.eval(&format!("http_post({bell:?}).status_code")), "401");
    let last = house.eval(&format!("http_get({:?}).json().payload", house.hook("last/house/bell")));
    assert_eq!(last, "Ann");
}

#[test]
fn the_nightly_report_is_written_by_rhaid_and_by_hand() {
    let mut house = House::copy_of("examples/nightly-job");
    house.start();
    assert!(house.run(&["fire", "report", "nightly"]).starts_with("succeeded"));
    let line = house.wait_for("wrote reports/");
    let file = line.split("wrote ").nth(1).unwrap().trim().to_owned();
    let report = |file: &str| std::fs::read_to_string(house.path(file)).unwrap();
    assert!(report(&file).contains("\"attic\""));
    let printed = house.run(&["exec", "scripts/report.rhai", "2026-11-01"]);
    assert_eq!(printed, "wrote reports/2026-11-01.json\n");
    let report: serde_json::Value = serde_json::from_str(&report("reports/2026-11-01.json")).unwrap();
    assert_eq!(report, serde_json::json!({ "day": "2026-11-01", "sensors": { "attic": 13.0, "cellar": 8.25 } }));
}

#[test]
fn home_assistant_finds_the_sensor_and_its_value() {
    let mut house = House::copy_of("examples/home-assistant");
    house.start();
    let config =
        house.answer_on("homeassistant/sensor/rhaid_bathroom_dew_point/config", "homeassistant/status", "online");
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["state_topic"], "rhaid/dew_point/state");
    let climate = r#"{"temperature": 22.0, "humidity": 65}"#;
    assert_eq!(house.answer_on("rhaid/dew_point/state", "bathroom/climate", climate), r#"{"celsius":15.1}"#);
}

#[test]
fn a_rust_program_runs_scripts() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let output = cargo.args(["run", "--quiet", "--example", "embed"]).output().unwrap();
    let expected = "greeter v1: on_event greet\n\
                    succeeded: \"hello Ann, for the 1. time\"\n\
                    succeeded: \"hello Ann, for the 2. time\"\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}
