//! `rhaid simulate`: runs a time range or recorded events through the scripts of the folder.

use crate::program::{Program, text};

const SCRIPT: &str = r#"
cron("30 2 * * *", || { mqtt_publish("night", now().format("%H:%M %:z")); });
mqtt_subscribe("door/+", |msg| {
    let known = http_get("https://api.example.com/people", #{ params: #{ key: "swordfish" } });
    mqtt_publish("hall", `${msg.topic} ${msg.payload} ${known.text}`);
    timer_start("close", "10m");
});
on_timer("close", || { mqtt_publish("door/close", "please", #{ retain: true }); });
webhook("bell", #{ public: true }, |request| { emit("rung", request.json()); });
on_event("rung", |event| { info(`rung by ${event.data}`); });
"#;

const EVENTS: &str = r#"
# A hand-written recording.
{"time": "2026-03-28T08:00:00Z", "topic": "door/front", "payload": "open"}
{"time": "2026-03-28T08:00:00.5Z", "http": "GET https://api.example.com/people?key=***", "status": 200, "body": "unknown"}
{"time": "2026-03-28T09:00:00Z", "request": "POST /hooks/bell", "json": "ann"}
{"time": "2026-03-28T10:00:00Z", "event": "rung", "data": "bob"}
"#;

fn program() -> Program {
    let program = Program::empty();
    program.write("rhaid.yaml", "timezone: Europe/Oslo\nsecrets: { key: swordfish }\n");
    program.write("scripts/hall.rhai", SCRIPT);
    program.write("scripts/hall_test.rhai", "this is no script");
    program.write("day.jsonl", EVENTS);
    program
}

fn simulate(program: &Program, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program.rhaid(&[&["simulate"], arguments].concat());
    (output.status.code(), [text(&output.stdout), text(&output.stderr)].concat())
}

#[test]
fn recorded_events_are_replayed_and_the_effects_are_printed_in_order() {
    let program = program();
    let (code, printed) = simulate(&program, &["--events", "day.jsonl", "--to", "2026-03-28T12:00"]);
    assert_eq!(code, Some(0), "{printed}");
    let lines: Vec<_> = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let at = |words: &str| {
        lines.iter().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {printed}"))
    };
    let order = [
        "2026-03-28 09:00:00.000+01:00 run hall: mqtt_subscribe door/front",
        "2026-03-28 09:00:00.000+01:00 message hall \"door/front open unknown\"",
        "2026-03-28 09:10:00.000+01:00 message door/close \"please\"",
        "2026-03-28 10:00:00.000+01:00 log hall: info rung by ann",
        "2026-03-28 11:00:00.000+01:00 log hall: info rung by bob",
    ];
    let positions: Vec<_> = order.into_iter().map(at).collect();
    assert!(positions.is_sorted(), "{printed}");
    assert!(!program.path(".rhaid").exists());
}

#[test]
fn days_with_a_daylight_saving_change_are_simulated_correctly() {
    let program = program();
    let nights = |day: &str, next: &str| {
        let (code, printed) = simulate(&program, &["--from", day, "--to", next, "--json"]);
        assert_eq!(code, Some(0), "{printed}");
        let lines: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let messages = lines.iter().filter(|line| line["what"] == "message");
        messages.map(|line| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(nights("2026-03-28", "2026-03-29"), ["night \"02:30 +01:00\""]);
    // A time in the skipped hour fires right after it; of the repeated hour, the first occurrence counts.
    assert_eq!(nights("2026-03-29", "2026-03-30"), ["night \"03:00 +02:00\""]);
    assert_eq!(nights("2026-10-25", "2026-10-26"), ["night \"02:30 +02:00\""]);
}

#[test]
fn a_failed_run_sets_the_exit_code_and_a_wrong_line_is_located() {
    let program = program();
    program.write(
        "cold.jsonl",
        "{\"time\": \"2026-03-28T08:00:00Z\", \"topic\": \"door/front\", \"payload\": \"open\"}\n",
    );
    let (code, printed) = simulate(&program, &["--events", "cold.jsonl", "-o", "out.txt"]);
    assert!(code == Some(1) && printed.is_empty(), "{printed}");
    let written = std::fs::read_to_string(program.path("out.txt")).unwrap();
    assert!(written.contains("no mock response matches GET https://api.example.com/people"), "{written}");
    assert!(written.contains("record responses with `rhaid record --http`"), "{written}");
    for (line, words) in [
        (
            "{\"time\": \"2026-03-28T08:00:00Z\", \"tpic\": \"a\"}",
            "bad.jsonl:1: unknown key `tpic`, did you mean `topic`?",
        ),
        ("{\"time\": \"soon\", \"topic\": \"a\"}", "bad.jsonl:1: time: "),
        ("{\"time\": \"2026-03-28T08:00:00Z\", \"topic\": \"a/#\"}", "bad.jsonl:1: "),
    ] {
        program.write("bad.jsonl", line);
        let (code, printed) = simulate(&program, &["--events", "bad.jsonl"]);
        assert!(code.is_some_and(|code| code > 0) && printed.contains(words), "{printed}");
    }
    let (code, printed) = simulate(&program, &["--from", "2026-03-28", "--to", "2026-03-27"]);
    assert!(code == Some(2) && printed.contains("is before the start"), "{printed}");
}

#[test]
fn the_same_seed_gives_the_same_output() {
    let program = program();
    program
        .write("scripts/random.rhai", "every(\"1h\", #{ jitter: \"10m\" }, || { mqtt_publish(\"random\", uuid()); });");
    let day = |seed: &str| simulate(&program, &["--from", "2026-03-28", "--to", "2026-03-29", "--seed", seed]).1;
    let first = day("1");
    assert!(first.matches("message random").count() > 20, "{first}");
    assert_eq!(day("1"), first);
    assert_ne!(day("2"), first);
}

#[test]
fn selected_scripts_are_simulated_and_runs_of_the_last_event_finish() {
    let program = Program::empty();
    program.write("scripts/beat.rhai", "every(\"1m\", || print(\"beat\"));");
    program.write(
        "scripts/slow.rhai",
        "mqtt_subscribe(\"go\", |msg| { sleep(\"3s\"); mqtt_publish(\"gone\", msg.payload); });",
    );
    program.write("one.jsonl", "{\"time\": \"2026-03-28T08:00:00Z\", \"topic\": \"go\", \"payload\": \"1\"}\n");
    let (code, printed) = simulate(&program, &["slow", "--events", "one.jsonl"]);
    assert!(code == Some(0) && printed.contains("08:00:03.000+00:00 message gone \"1\""), "{printed}");
    let (code, printed) = simulate(&program, &["slow", "--from", "2026-03-28", "--to", "2026-03-29"]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    let (code, printed) = simulate(&program, &["slw"]);
    assert!(code == Some(1) && printed.contains("there is no script `slw`"), "{printed}");
}
