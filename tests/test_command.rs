//! `rhaid test`: script tests in a sandbox with a virtual clock, a mock broker and mock HTTP.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rhaid::functions::reference::only_in_tests;
use serde_json::Value;

use crate::program::{Program, text};

const HEATER: &str = r##"
mqtt_subscribe("room/{name}/temperature", |msg| {
    let celsius = parse_float(msg.payload);
    state[msg.params.name] = celsius;
    if celsius < 18.0 {
        mqtt_publish(`room/${msg.params.name}/heating`, "on", #{ qos: 1, retain: true });
        timer_start("check", "2h", #{ room: msg.params.name });
    }
});
on_timer("check", |timer| {
    let weather = http_get("https://api.example.com/weather", #{ params: #{ city: "Oslo" } });
    weather.raise_for_status();
    mqtt_publish("report", #{ room: timer.data.room, weather: weather.json().summary });
});
cron("0 * * * *", || { state.add("hours", 1); });
webhook("door/{side}", #{ methods: ["POST"], public: true }, |request| #{ side: request.params.side, got: request.json().a });
watch_file("inbox/*.csv", |change| { info(`${change.kind} ${change.text()}`); });
on_event("boom", |event| { throw `no ${event.data}`; });
on_event("nap", |event| { sleep("10s"); mqtt_publish("nap/done", now("UTC").format("%H:%M:%S")); });
on_event("long", |event| { sleep("5m"); });
on_event("wait", |event| { mqtt_publish("got", mqtt_receive("answer", #{ timeout: "20s" }).payload); });
on_event("random", |event| { mqtt_publish("random", `${uuid()} ${random()} ${random_int(1, 1000)}`); });
on_event("keep", |event| { write_file("kept.txt", "real?"); });
"##;

const CONFIG: &str = "
timezone: Europe/Oslo
permissions:
  heater: { read: [./inbox], write: [.] }
secrets:
  key: none
";

fn program(tests: &str) -> Program {
    let program = Program::empty();
    program.write("rhaid.yaml", CONFIG);
    program.write("scripts/heater.rhai", HEATER);
    program.write("scripts/heater_test.rhai", tests);
    program
}

fn run_tests(program: &Program, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program.rhaid(&[&["test"], arguments].concat());
    (output.status.code(), [text(&output.stdout), text(&output.stderr)].concat())
}

#[track_caller]
fn passes(body: &str) {
    let (code, printed) = run_tests(&program(&format!("test(\"it\", || {{ load(\"heater\");\n{body}\n}});")), &[]);
    assert!(code == Some(0) && printed.contains("1 passed"), "{printed}");
}

#[track_caller]
fn fails(body: &str, wanted: &[&str]) -> String {
    let (code, printed) = run_tests(&program(&format!("test(\"it\", || {{ load(\"heater\");\n{body}\n}});")), &[]);
    assert_eq!(code, Some(1), "{printed}");
    for words in wanted {
        assert!(printed.contains(words), "{words:?} is not in:\n{printed}");
    }
    printed
}

#[test]
fn messages_timers_requests_and_state_are_simulated_and_asserted() {
    passes(
        r##"
        on_http("GET", "https://api.example.com/*", |request| #{ json: #{ summary: `fine in ${request.query.city}` } });
        publish("room/attic/temperature", 17.5);
        assert_published("room/+/heating", "on");
        assert_published("room/attic/heating", |message| message.retain && message.qos == 1);
        assert_state("heater", "attic", 17.5);
        assert_not_published("report");
        assert_not_published("room/#", "off");
        advance("2h");
        assert_requested("GET", "https://api.example.com/weather?city=Oslo", |request| request.status == 200);
        assert_published("report", #{ room: "attic", weather: "fine in Oslo" });
        assert_state("heater", "hours", |hours| hours == 2);
        assert_eq(runs("heater").len(), 4);
        forget();
        assert_not_published("#");
        assert_not_requested("GET", "*");
        assert_eq(runs().len(), 0);
        "##,
    );
}

#[test]
fn failed_assertions_show_their_line_the_actual_values_and_a_timeline() {
    let printed = fails(
        "publish(\"room/attic/temperature\", 17);\nassert_published(\"room/attic/heating\", \"off\");",
        &["FAIL", "heater_test.rhai:3:1: expected room/attic/heating \"off\"", "messages on these topics:", "\"on\""],
    );
    let timeline = printed.split("timeline").nth(1).unwrap();
    assert!(timeline.contains("2026-01-01 00:00:00.000+01:00 run     heater: mqtt_subscribe"), "{printed}");
    fails("assert_eq(1 + 1, 3, \"sum\");", &["heater_test.rhai:2:1: sum: expected 3, but got 2"]);
    fails(
        "publish(\"room/attic/temperature\", 17); assert_not_published(\"room/#\", |message| message.payload == \"on\");",
        &["expected no such message on room/#; published messages:", "room/attic/heating \"on\""],
    );
    fails("assert_state(\"heater\", \"attic\", 3);", &["expected 3 as state.attic of heater, but got"]);
    fails("assert_log(\"warn\", \"cold\");", &["expected a log line of level warn with \"cold\"; nothing was logged"]);
    fails("assert_requested(\"GET\", \"https://a/*\");", &["expected GET https://a/*; no request was sent"]);
    fails("assert_fails(\"heater\", \"timeout\");", &["expected a run of heater to fail, but none did"]);
    fails("assert_fails(|| 3, \"timeout\");", &["expected an error of kind timeout, but the function returned 3"]);
    fails("no_such(3);", &["heater_test.rhai:2:1", "no_such"]);
    fails(
        "advanse(\"1h\"); assert(limt);",
        &["2:1: unknown function `advanse`", "`advance(time)`", "2:23: unknown variable `limt`"],
    );
    fails("emit(1);", &["there is no `emit` for (int)", "write `emit(name: string)`"]);
    fails("mqtt_publish(\"a\", \"b\");", &["`mqtt_publish` can only be called in a script"]);
    fails("load(\"heatr\");", &["there is no script `heatr`"]);
    fails("on_event(\"a\", || 1);", &["heater_test.rhai:2:1"]);
    fails("fail_http(\"GET\", \"*\", \"weather\");", &["there is no error kind \"weather\""]);
}

#[test]
fn a_failed_run_fails_the_test_unless_expected() {
    fails("emit(\"boom\", 7);", &["a run of heater failed (on_event boom)", "heater.rhai:18:28: no 7"]);
    fails(
        "emit(\"boom\", 7); assert_fails(\"heater\", \"yes\");",
        &["to fail with yes, but it failed with: heater.rhai:18"],
    );
    passes("emit(\"boom\", 7); assert_fails(\"heater\", \"no 7\");");
    passes("assert_fails(|| emit(\"boom\", |x| x), \"invalid_argument\"); assert_fails(|| { throw \"a\" }, \"a\");");
    passes(
        "emit(\"long\"); advance(\"29s\"); assert_eq(runs().len(), 0); advance(\"1s\"); assert_fails(\"heater\", \"timeout\");",
    );
}

#[test]
fn requests_fail_as_configured_and_unmocked_ones_explain_the_fix() {
    passes(
        r##"
        publish("room/attic/temperature", 1);
        fail_http("GET", "https://api.example.com/*", "timeout.connect");
        advance("2h");
        assert_fails("heater", "timeout.connect");
        "##,
    );
    fails(
        "publish(\"room/attic/temperature\", 1); advance(\"2h\");",
        &["no mock response matches GET https://api.example.com/weather?city=Oslo", "add `on_http(\"GET\", "],
    );
    passes(
        r##"
        on_http("GET", "*", #{ status: 503, body: "away" });
        publish("room/attic/temperature", 1);
        advance("2h");
        assert_fails("heater", "status");
        "##,
    );
}

#[test]
fn webhooks_file_changes_and_sleeping_runs_are_simulated() {
    passes(
        r##"
        let answer = request("POST", "/hooks/door/front", #{ json: #{ a: [1, 2] } });
        assert_eq(answer.status, 200);
        assert_eq(answer.json(), #{ side: "front", got: [1, 2] });
        assert_eq(request("GET", "/hooks/door/front").status, 405);
        assert_eq(request("POST", "/hooks/window").status, 404);
        change_file("inbox/a.csv", "1,2");
        change_file("inbox/a.csv", "3");
        change_file("inbox/a.txt", "4");
        assert_eq(logs("heater").map(|line| line.text), ["created 1,2", "modified 3"]);
        emit("nap");
        advance("9s");
        assert_not_published("nap/done");
        advance("1s");
        assert_published("nap/done", "23:00:10");
        emit("wait");
        publish("answer", "now");
        assert_published("got", "now");
        emit("wait");
        advance("20s");
        assert_fails("heater", "timeout");
        "##,
    );
}

#[test]
fn broker_outages_and_restarts_are_simulated() {
    passes(
        r##"
        publish("room/attic/temperature", 17);
        advance("1h");
        restart();
        on_http("GET", "*", #{ json: #{ summary: "fine" } });
        assert_state("heater", "attic", 17);
        advance("1h");
        assert_published("report", |message| message.payload.contains("attic"));
        forget();
        broker_down();
        emit("nap");
        advance("10s");
        assert_not_published("nap/done");
        assert_fails(|| publish("room/attic/temperature", 1), "call `broker_up()` first");
        broker_up();
        assert_published("nap/done");
        publish("room/attic/temperature", 16);
        assert_state("heater", "attic", 16);
        set_state("heater", "attic", 3);
        assert_eq(state_of("heater").attic, 3);
        "##,
    );
}

#[test]
fn the_clock_can_be_set_and_advanced_across_daylight_saving_changes() {
    let program = program(
        r##"
        const START = "2026-03-29T00:30+01:00[Europe/Oslo]";
        fn hours() { state_of("heater").hours }
        test("a night with an hour less", || {
            at(START);
            load("heater");
            at("04:00");
            assert_eq(now("UTC").hour, 2);
            assert_eq(hours(), 3);
            at("2026-03-30T04:00");
            assert_eq(hours(), 27);
            assert_fails(|| at("2026-01-01T00:00"), "is in the past");
        });
        test("a month", || { load("heater"); advance("30d"); assert_eq(hours(), 720); });
        "##,
    );
    let (code, printed) = run_tests(&program, &[]);
    assert!(code == Some(0) && printed.contains("2 passed"), "{printed}");
}

#[test]
fn a_sandbox_has_no_real_effects_and_is_deterministic() {
    let program = program(
        r#"test("it", || { load("heater"); emit("keep"); emit("random"); print(published("random")[0].payload); });"#,
    );
    let random_values = |arguments: &[&str]| {
        let (code, printed) = run_tests(&program, arguments);
        assert_eq!(code, Some(0), "{printed}");
        printed.lines().nth(2).unwrap().to_owned()
    };
    let first = random_values(&[]);
    assert_eq!(random_values(&[]), first);
    assert_ne!(random_values(&["--seed", "1"]), first);
    assert!(!program.path("kept.txt").exists() && !program.path(".rhaid").exists());
}

#[test]
fn results_and_coverage_are_written_in_machine_readable_formats() {
    let program = program(
        "test(\"good & <well>\", || { load(\"heater\"); publish(\"room/attic/temperature\", 17); });\n\
         test(\"bad\", || { assert(false, \"expected failure\"); });\n",
    );
    let (code, printed) = run_tests(&program, &["--json", "--junit", "junit.xml", "--lcov", "lcov.info"]);
    assert_eq!(code, Some(1), "{printed}");
    let json: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &1.into()));
    let failure = &json["files"][0]["tests"][1]["failure"];
    assert_eq!((&failure["line"], &failure["text"]), (&2.into(), &"expected failure".into()));
    let junit = std::fs::read_to_string(program.path("junit.xml")).unwrap();
    assert!(
        junit.contains("<testcase name=\"good &amp; &lt;well&gt;\"")
            && junit.contains("<failure message=\"expected failure\">"),
        "{junit}"
    );
    let lcov = std::fs::read_to_string(program.path("lcov.info")).unwrap();
    let ran = |line: usize| lcov.lines().any(|row| row.starts_with(&format!("DA:{line},")) && !row.ends_with(",0"));
    assert!(ran(3) && ran(6) && ran(10), "{lcov}");
    assert!(lcov.contains("DA:11,0\n") && lcov.contains("DA:13,0\n"), "{lcov}");
    let (_, printed) = run_tests(&program, &["--coverage", "--filter", "good"]);
    assert!(
        printed.contains("1 passed") && printed.contains("not run: 11-13") && !printed.contains("expected failure"),
        "{printed}"
    );
}

#[test]
fn invalid_tests_are_reported_with_their_location() {
    let program = program("test(\"a\", || {\n");
    let (code, printed) = run_tests(&program, &[]);
    assert!(code == Some(1) && printed.contains("heater_test.rhai:2:") && printed.contains("1 failed"), "{printed}");
    program.write("scripts/heater_test.rhai", "load(\"heater\");");
    let (code, printed) = run_tests(&program, &[]);
    assert!(code == Some(1) && printed.contains("this function can only be called inside `test("), "{printed}");
    program.write("scripts/broken.rhai", "cron(");
    program.write("scripts/heater_test.rhai", "test(\"a\", || load(\"broken\"));");
    let (code, printed) = run_tests(&program, &[]);
    assert!(
        code == Some(1) && printed.contains("`broken` cannot be loaded") && printed.contains("broken.rhai:1:"),
        "{printed}"
    );
    for (arguments, words) in [
        (&["nowhere"][..], "there is no file or folder nowhere"),
        (&["scripts/broken.rhai"], "scripts/broken.rhai is not a test and has no test file beside it"),
        (&["--filter", "zebra"], "no test name or file contains \"zebra\""),
    ] {
        let (code, printed) = run_tests(&program, arguments);
        assert!(code == Some(2) && printed.contains(words), "{printed}");
    }
}

#[test]
fn runs_end_with_their_test_and_sandbox_records_do_not_count_as_run_memory() {
    let program = program(
        r#"
test("ends while a run waits", || { load("send"); broker_down(); emit("wait"); });
test("waits for exactly so long", || {
    at("2026-01-01T12:00");
    load("send");
    broker_down();
    emit("wait");
    advance("5s");
    assert_state("send", "at", "12:00:03.000000000");
});
test("remembers much", || { load("send"); advance("15m"); assert_eq(published().len(), 18_000); });
"#,
    );
    program.write("rhaid.yaml", "limits: { memory: 1MiB }");
    program.write(
        "scripts/send.rhai",
        r#"
on_event("wait", || {
    let sent = mqtt_publish("out", 1, #{ qos: 1, wait: false });
    try { sent.wait("3s"); } catch { state.at = now().format("%H:%M:%S%.9f"); }
});
every("1s", || {
    let all = [];
    for n in 0..20 { all.push([`out/${n}`, n]); }
    mqtt_publish(all, #{ qos: 1, wait: false });
});
"#,
    );
    let (code, printed) = run_tests(&program, &[]);
    assert!(code == Some(0) && printed.contains("3 passed") && !printed.contains("panicked"), "{printed}");
}

#[test]
fn check_treats_test_files_as_tests() {
    let program = program("test(\"it\", || { load(\"heater\"); advance(\"1h\"); });");
    let check = |program: &Program| {
        let output = program.rhaid(&["check", "scripts/heater_test.rhai"]);
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(check(&program).0, Some(0), "{}", check(&program).1);
    program.write("scripts/heater_test.rhai", "test(\"it\", || loda(\"heater\"));");
    let (code, output) = check(&program);
    assert!(code == Some(1) && output.contains("heater_test.rhai:1:15") && output.contains("`load("), "{output}");
}

#[test]
fn tests_are_selected_by_file_script_or_name() {
    let program = program("test(\"it\", || load(\"heater\"));");
    for name in ["scripts/heater_test.rhai", "scripts/heater.rhai", "heater", "scripts"] {
        let (code, printed) = run_tests(&program, &[name]);
        assert!(code == Some(0) && printed.contains("1 passed"), "{name}: {printed}");
    }
}

#[test]
fn scripts_get_no_suggestions_of_test_functions() {
    let program = program("");
    program.write("scripts/heater.rhai", "on_start(|| { assert_publishd(\"a\"); loda(\"b\"); });");
    let output = text(&program.rhaid(&["check"]).stdout);
    assert!(
        output.contains("unknown function `assert_publishd`") && output.contains("unknown function `loda`"),
        "{output}"
    );
    assert!(!output.contains("assert_published") && !output.contains("load(script)"), "{output}");
}

#[test]
fn tests_run_again_when_a_script_changes() {
    let program = program(
        "test(\"it\", || { load(\"heater\"); publish(\"room/attic/temperature\", 20); assert_not_published(\"#\"); });",
    );
    let mut command = program.command(&["test", "--watch"]);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("1 passed")));
    assert!(lines.any(|line| line.contains("waiting for a change")));
    program.write("scripts/heater.rhai", &HEATER.replace("< 18.0", "< 28.0"));
    assert!(lines.any(|line| line.contains("1 failed")));
    watching.kill().unwrap();
    watching.wait().unwrap();
}

/// The script that the examples of the reference test.
const KITCHEN: &str = r##"
mqtt_subscribe("kitchen/fridge", |msg| {
    if msg.payload != "open" { return timer_cancel("left open"); }
    warn("the fridge is open");
    state.add("times", 1);
    timer_start("left open", "2m");
});
on_timer("left open", || mqtt_publish("kitchen/alarm", "close the fridge", #{ qos: 1 }));
mqtt_subscribe("kitchen/oven", |msg| {
    if msg.payload == "hot" { throw "the oven is hot"; }
    state.celsius = msg.json().celsius;
});
cron("0 7 * * *", || {
    let headers = #{ "x-key": secret("weather") };
    let weather = http_get("https://api.example.com/weather", #{ params: #{ city: "Oslo" }, headers: headers });
    weather.raise_for_status();
    mqtt_publish("kitchen/display", weather.json().summary);
});
webhook("fridge", #{ methods: ["GET"], public: true }, || #{ times: state.times ?? 0 });
webhook("fridge", #{ methods: ["POST"], public: true }, |request| { state.times = request.json().times; });
on_event("away", || mqtt_publish("kitchen/light", "off"));
on_event("home", |event| mqtt_publish("kitchen/display", `hello ${event.data.who}`));
watch_file("inbox/*.txt", |change| info(if change.kind == "removed" { "removed" } else { `${change.kind}: ${change.text()}` }));
"##;

#[test]
fn every_example_of_a_test_function_passes() {
    let program = Program::empty();
    program.write("rhaid.yaml", "timezone: UTC\nsecrets: { weather: none }\npermissions: { kitchen: { secrets: [weather], read: [./inbox] } }\n");
    program.write("scripts/kitchen.rhai", KITCHEN);
    program.write("scripts/garden/pump.rhai", "every(\"1h\", || print(\"pumps\"));");
    for entry in only_in_tests() {
        let example = entry.example.as_deref().unwrap();
        let is_whole = example.lines().any(|line| line.starts_with("test("));
        let text =
            if is_whole { example.to_owned() } else { format!("test(\"{}\", || {{\n{example}\n}});", entry.name) };
        program.write(&format!("scripts/{}_test.rhai", entry.name), &text);
    }
    let (code, printed) = run_tests(&program, &[]);
    assert!(code == Some(0) && printed.contains(&format!("{} passed", only_in_tests().len())), "{printed}");
}
