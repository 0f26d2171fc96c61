//! The commands: their output and exit codes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::program::{Program, text};

const TALKER: &str = r#"//! Prints words.
on_start(|| print("I am here"));
on_event("say", |event| { print(event.data.words); event.data.words });
on_event("fail", || throw "on purpose");
"#;

fn with_script(script: &str) -> Program {
    let program = Program::empty();
    program.write("scripts/talker.rhai", script);
    program
}

fn code(program: &Program, arguments: &[&str]) -> Option<i32> {
    program.rhaid(arguments).status.code()
}

#[test]
fn every_command_has_help_with_an_example() {
    let program = Program::empty();
    let help = program.run(&["--help"]);
    assert!(help.contains("Exit codes:"), "{help}");
    let after = help.split("Commands:").nth(1).unwrap();
    let commands: Vec<_> = after
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(commands.len(), 28, "{commands:?}");
    for command in commands {
        let help = program.run(&[command, "--help"]);
        assert!(help.contains("Usage: rhaid"), "{command}: {help}");
        let is_exempt = ["enable", "disable"].contains(&command);
        assert!(is_exempt || help.contains("Example"), "{command} shows no example:\n{help}");
    }
}

#[test]
fn starting_in_an_empty_folder_suggests_init() {
    let program = Program::empty();
    let output = program.rhaid(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("rhaid init"), "{}", text(&output.stderr));
}

#[test]
fn an_invalid_config_is_refused_before_anything_starts() {
    let program = with_script(TALKER);
    program.write("rhaid.yaml", "mqttt: 1\nlimits:\n  timeout: soon\n");
    let output = program.rhaid(&["run"]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("rhaid.yaml:1:1: ") && errors.contains("rhaid.yaml:3:12: "), "{errors}");
    assert!(!program.path(".rhaid").exists(), "something was started");
}

#[test]
fn all_obstacles_of_a_start_are_reported_together() {
    let program = with_script(TALKER);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // A server that closes every connection, so no MQTT broker.
        while let Ok((connection, _)) = taken.accept() {
            drop(connection);
        }
    });
    let mut command = program.command(&["run"]);
    command.env("RHAID_WEB_LISTEN", &address).env("RHAID_MQTT_EMBEDDED_LISTEN", &address);
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("web.listen") && errors.contains("mqtt.embedded.listen"), "{errors}");
}

#[test]
fn commands_that_need_a_running_process_report_it() {
    let program = with_script(TALKER);
    for arguments in [&["list"][..], &["logs"], &["fire", "talker"], &["enable", "talker"], &["disable", "talker"]] {
        let output = program.rhaid(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(text(&output.stderr).contains("no rhaid is running with the data folder"), "{}", text(&output.stderr));
    }
}

#[test]
fn fire_runs_a_handler_and_prints_its_outcome() {
    let mut program = with_script(TALKER);
    program.start();
    program.wait_for("I am here");
    let output = program.run(&["fire", "talker", "on_event say", "--data", r#"{"data": {"words": "good day"}}"#]);
    assert_eq!(output, "succeeded\ngood day\n");
    let failed = program.rhaid(&["fire", "talker", "on_event fail"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stdout).contains("failed: talker.rhai:4:21"), "{}", text(&failed.stdout));
    assert_eq!(code(&program, &["fire", "talker", "--data", "{"]), Some(2));
    let unknown = program.rhaid(&["fire", "walker"]);
    assert_eq!(text(&unknown.stderr), "rhaid: there is no script `walker`: did you mean `talker`?\n");

    let runs: Json = serde_json::from_str(&program.run(&["runs", "--failed", "--json"])).unwrap();
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["outcome"]), (1, &Json::from("failed")));
    assert!(program.run(&["runs", "talker"]).contains("succeeded"));
    let logs = program.run(&["logs", "talker"]);
    assert!(logs.contains("I am here") && logs.contains("good day"), "{logs}");
    assert_eq!(program.stop(), Some(0));
    assert!(
        program.run(&["runs", "--failed"]).contains("on purpose"),
        "the run history is not readable without a running process"
    );
}

#[test]
fn a_script_stays_disabled_over_a_restart() {
    let mut program = with_script(TALKER);
    program.start();
    program.wait_for("I am here");
    program.run(&["disable", "talker"]);
    program.stop();
    program.start();
    let status = |program: &Program| {
        let list: Json = serde_json::from_str(&program.run(&["list", "--json"])).unwrap();
        list[0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&program), "disabled");
    assert_eq!(program.count("I am here"), 0);
    program.run(&["enable", "talker"]);
    program.wait_for("I am here");
    assert_eq!(status(&program), "live");
    let list = program.run(&["list"]);
    assert!(list.starts_with("SCRIPT") && list.contains("on_event say"), "{list}");
}

#[test]
fn the_log_can_be_followed() {
    let mut program = with_script(TALKER);
    program.start();
    program.wait_for("I am here");
    let mut follower = program.command(&["logs", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = |text: &str| -> Json {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    };
    next("I am here");
    program.run(&["fire", "talker", "on_event say", "--data", r#"{"data": {"words": "news"}}"#]);
    let line = next("news");
    assert_eq!((&line["script"], &line["level"]), (&"talker".into(), &"info".into()));
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn the_log_has_the_messages_of_all_parts_once() {
    let mut program = with_script(TALKER);
    program.write("scripts/slow.rhai", "every(\"50ms\", || sleep(\"1s\"));");
    program.start();
    program.wait_for("ran less often than scheduled");
    program.wait_for("I am here");
    let logs = program.run(&["logs"]);
    for text in
        ["rhaid 0.", "the embedded broker listens", "2 scripts are live", "ran less often than scheduled", "I am here"]
    {
        assert_eq!(logs.matches(text).count(), 1, "{text}:\n{logs}");
    }
    let slow = program.run(&["logs", "slow", "--json"]);
    let line: Json = serde_json::from_str(slow.lines().find(|line| line.contains("less often")).unwrap()).unwrap();
    assert_eq!(
        (&line["level"], &line["script"], &line["trigger"]),
        (&"warn".into(), &"slow".into(), &"every 50ms".into())
    );
}

#[test]
fn an_edit_of_the_config_is_applied_and_a_broken_one_is_not() {
    let mut program = with_script("on_event(\"say\", || debug(\"in depth\"));");
    program.write("rhaid.yaml", "log:\n  level: info\n");
    program.start();
    program.write("rhaid.yaml", "log:\n  level: loud\n");
    program.wait_for("rhaid.yaml was changed, but not applied");
    program.write("rhaid.yaml", "log:\n  level: debug\n");
    program.wait_for("log applied");
    program.run(&["fire", "talker"]);
    program.wait_for("in depth");
}

#[test]
fn check_prints_triggers_and_faults_in_all_formats() {
    let program = with_script(TALKER);
    program.write("scripts/tick.rhai", "cron(\"0 7 * * *\", #{ timezone: \"Europe/Oslo\" }, || ());\n");
    let output = program.run(&["check"]);
    assert!(output.contains("cron 0 7 * * *") && output.matches("T07:00:00+0").count() == 3, "{output}");
    program.write("scripts/bad.rhai", "every(\"1m\", || {\n  prinnt(1);\n});\n");
    assert_eq!(code(&program, &["check"]), Some(1));
    let compact = text(&program.rhaid(&["check", "--format", "compact"]).stdout);
    assert!(compact.starts_with("scripts/bad.rhai:2:3: unknown function `prinnt`"), "{compact}");
    let json: Json = serde_json::from_slice(&program.rhaid(&["check", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["faults"][0]["line"], 2);
    assert_eq!(json["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(code(&program, &["check", "scripts/tick.rhai"]), Some(0));
    assert!(!program.path(".rhaid").exists(), "a check created the data folder");
}

#[test]
fn check_includes_the_bindings_of_jobs() {
    let program = Program::empty();
    program.write("scripts/nightly.rhai", "print(event.trigger);\n");
    let bound = "triggers:\n  - cron: \"0 7 * * *\"\n    timezone: Europe/Oslo\n    job: nightly.rhai\n";
    program.write("rhaid.yaml", bound);
    let output = program.run(&["check"]);
    assert!(output.contains("ok nightly\n   cron 0 7 * * *"), "{output}");
    assert_eq!(output.matches("T07:00:00+0").count(), 3, "{output}");
    let json: Json = serde_json::from_str(&program.run(&["check", "--format", "json", "scripts"])).unwrap();
    let trigger = &json["scripts"][0]["triggers"][0];
    assert_eq!((&trigger["file"], &trigger["line"]), (&"rhaid.yaml".into(), &2.into()));

    let wrong = "  - cron: 0 7 * *\n    job: nightly.rhai\n  - every: 1m\n    mode: singel\n    job: gone.rhai\n";
    program.write("rhaid.yaml", &format!("{bound}{wrong}"));
    let output = program.rhaid(&["check", "--format", "compact"]);
    let faults = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{faults}");
    let places: Vec<_> = faults.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["rhaid.yaml:5:11", "rhaid.yaml:8:5", "rhaid.yaml:9:10"], "{faults}");
}

#[test]
fn a_job_gets_arguments_and_sets_the_exit_code() {
    let program = Program::empty();
    program
        .write("job.rhai", "#!/usr/bin/env -S rhaid exec\nprint(args.len());\nwarn(\"careful\");\nexit(args.len());\n");
    let output = program.rhaid(&["exec", "job.rhai", "--color", "x", "y"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "3\n"));
    assert_eq!(text(&output.stderr), "warn: careful\n");
    program.write("bad.rhai", "let a = 1;\nthrow a + 1;\n");
    let output = program.rhaid(&["exec", "bad.rhai"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("bad.rhai:2:1: "), "{}", text(&output.stderr));
    assert_eq!(program.run(&["eval", "6 * 7"]), "42\n");
    assert_eq!(program.run(&["eval", "--json", "\"a\""]), "\"a\"\n");
    assert_eq!(program.run(&["eval", "()", "--json"]), "null\n");
    assert_eq!(program.run(&["eval", "-1"]), "-1\n");
    assert_eq!(code(&program, &["eval", "sleep(60)", "--timeout", "100ms"]), Some(1));
}

#[test]
fn next_prints_the_next_times_of_a_cron_expression() {
    let program = Program::empty();
    let from = ["--timezone", "Europe/Berlin", "--from", "2026-03-28T12:00:00"];
    let times = program.run(&[&["next", "30 2 * * *", "-n", "2", "--json"][..], &from].concat());
    let times: Json = serde_json::from_str(&times).unwrap();
    assert_eq!(times, serde_json::json!(["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]));
    let lines = program.run(&[&["next", "@hourly", "-n", "1"][..], &from].concat());
    assert!(lines.starts_with("2026-03-28T13:00:00+01:00"), "{lines}");
    assert_eq!(code(&program, &["next", "* * *"]), Some(2));
    assert_eq!(code(&program, &["next", "* * * * *", "--timezone", "Mars"]), Some(2));
}

#[test]
fn the_reference_lists_triggers_and_functions() {
    let program = Program::empty();
    let page = program.run(&["reference", "MQTT_Publish"]);
    assert!(page.starts_with("mqtt_publish(messages: array)\n"), "{page}");
    assert!(page.contains("\nmqtt_publish(topic: string, payload: any)\n"), "{page}");
    let json: Json = serde_json::from_str(&program.run(&["reference", "--json"])).unwrap();
    let names: Vec<_> =
        json["triggers"].as_array().unwrap().iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"cron") && names.contains(&"webhook"), "{names:?}");
    assert!(program.run(&["reference", "--markdown"]).contains("## `http_get`"));
    let unknown = program.rhaid(&["reference", "mqtt_publsh"]);
    assert_eq!(
        text(&unknown.stderr),
        "rhaid: there is no trigger, function or group `mqtt_publsh`: did you mean `mqtt_publish`?\n"
    );
    let twins = program.run(&["reference", "emit"]);
    let (scripts, tests) = twins.split_once("\n\nemit(name: string)\n").unwrap();
    assert!(scripts.contains(")\nin scripts\n") && tests.contains(")\nin tests only: "), "{twins}");
    assert!(program.run(&["reference", "at"]).contains("at(moment: string)\nin tests only: "));
    assert!(program.run(&["reference", "now"]).lines().all(|line| !line.starts_with("in ")));
    assert!(program.run(&["reference", "--markdown", "Tests"]).contains("## `assert_published`"));
    assert!(program.run(&["reference"]).contains("  assert_published "));
    let group = program.run(&["reference", "mqtt"]);
    assert!(group.contains("mqtt_publish(") && group.contains("Sent.wait") && !group.contains("http_get("), "{group}");
    let kind = program.run(&["reference", "headers"]);
    assert!(kind.contains("Headers.get_all(") && !kind.contains("\nhttp_get("), "{kind}");
    program.run(&["definitions"]);
    let definitions = std::fs::read_to_string(program.path("definitions/rhaid.d.rhai")).unwrap();
    assert!(definitions.contains("fn mqtt_publish(topic: String, payload: ?) -> ();"), "{definitions}");
    // The language server reports every unknown variable.
    assert!(definitions.contains("\nlet state: State;\n"), "{definitions}");
    assert!(definitions.contains("/// Only in `*_test.rhai` files. Advances the clock by a duration"), "{definitions}");
    assert!(definitions.contains("fn advance(time: ?) -> ();"), "{definitions}");
    assert!(program.run(&["completions", "bash"]).contains("_rhaid"));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut program = with_script("on_start(|| { print(\"busy\"); sleep(25); });");
    program.write("rhaid.yaml", "limits:\n  stop: 1m\n");
    program.start();
    program.wait_for("busy");
    program.signal("INT");
    program.wait_for("Ctrl-C: stopping");
    program.signal("INT");
    assert_eq!(program.exit_code(), Some(130));
}
