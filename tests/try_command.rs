//! `rhaid try`: fires one synthetic event for one script, with or without a running process.

use serde_json::{Value, json};

use crate::program::{Program, text};

const DOOR: &str = r#"
mqtt_subscribe("door/{side}", #{ name: "opened" }, |msg| {
    let times = state.add(msg.params.side, 1);
    if msg.payload == "thief" { throw "alarm"; }
    mqtt_publish("bell", `${msg.params.side} ${msg.payload} ${times}`);
    emit("rung", times);
});
mqtt_subscribe("window/+", |msg| ());
webhook("door/{side}", #{ public: true, methods: ["GET"] }, |request| `${request.method} ${request.params.side} ${request.query.key}`);
webhook("post", #{ public: true }, |request| request.json().a);
on_timer("closes", |timer| timer.data + 1);
cron("0 7 * * *", #{ timezone: "Europe/Oslo" }, |tick| now("Europe/Oslo").format("%H:%M") + " " + tick.missed);
"#;

fn try_door(program: &Program, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program.rhaid(&[&["try", "scripts/door.rhai"], arguments].concat());
    (output.status.code(), [text(&output.stdout), text(&output.stderr)].concat())
}

fn try_json(program: &Program, arguments: &[&str]) -> Value {
    let (code, printed) = try_door(program, &[arguments, &["--json"]].concat());
    assert_eq!(code, Some(0), "{printed}");
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn a_synthetic_event_fires_a_script_that_is_not_active() {
    let program = Program::empty();
    program.write("scripts/door.rhai", DOOR);
    let message = try_json(&program, &["--mqtt", "door/front=ann", "--dry"]);
    let effects_of = |result: &Value| -> Vec<String> {
        let effects = result["effects"].as_array().unwrap();
        effects.iter().map(|effect| format!("{} {}", effect["what"], effect["with"])).collect()
    };
    let expected =
        [r#""state" "front + 1""#, r#""mqtt_publish" "bell \"front ann 1\" (11 bytes)""#, r#""emit" "rung""#];
    assert_eq!(effects_of(&message), expected);
    assert_eq!(
        try_json(&program, &["--webhook", "GET /hooks/door/back", "--data", r#"{"query": {"key": "7"}}"#])["value"],
        "GET back 7"
    );
    assert_eq!(try_json(&program, &["--webhook", "POST /hooks/post", "--data", r#"{"json": {"a": 7}}"#])["value"], 7);
    assert_eq!(try_json(&program, &["--webhook", "post", "--data", r#"{"body": "{\"a\": 8}"}"#])["value"], 8);
    assert_eq!(try_json(&program, &["--timer", "closes", "--data", "41"])["value"], 42);
    let by_name = program.rhaid(&["try", "door", "--timer", "closes", "--data", "41", "--json"]);
    assert!(text(&by_name.stdout).contains("42"), "{}", text(&by_name.stderr));
    let morning = ["--cron", "--at", "2026-03-29T07:00+02:00[Europe/Oslo]", "--dry", "--data", r#"{"missed": 2}"#];
    assert_eq!(try_json(&program, &morning)["value"], "07:00 2");
    let (code, printed) = try_door(&program, &["--trigger", "opened", "--data", r#"{"payload": "thief"}"#, "--dry"]);
    assert!(code == Some(1) && printed.contains("planned effects") && printed.contains("door.rhai:4:"), "{printed}");
}

#[test]
fn try_reads_the_state_of_the_active_script_and_has_real_effects() {
    let mut program = Program::empty();
    program.write("scripts/door.rhai", DOOR);
    program.write("scripts/bell.rhai", r#"mqtt_subscribe("bell", |msg| print(`received ${msg.payload}`));"#);
    program.start();
    program.wait_for("connected to");
    program.run(&["fire", "door", "opened", "--data", r#"{"topic": "door/front", "payload": "ann"}"#]);
    program.wait_for("received front ann 1");
    assert_eq!(
        try_json(&program, &["--mqtt", "door/front=bob", "--dry"])["effects"][1]["with"],
        json!("bell \"front bob 2\" (11 bytes)")
    );
    try_json(&program, &["--mqtt", "door/front=cy"]);
    program.wait_for("received front cy 2");
    program.run(&["fire", "door", "opened", "--data", r#"{"topic": "door/front", "payload": "dan"}"#]);
    program.wait_for("received front dan 2");
}

#[test]
fn invalid_events_are_refused_with_the_available_triggers() {
    let program = Program::empty();
    program.write("scripts/door.rhai", DOOR);
    for (arguments, code, words) in [
        (&["--mqtt", "cellar=1"][..], 2, "door.rhai has no mqtt_subscribe trigger for this event (it has `opened`"),
        (&["--mqtt", "door"], 2, "--mqtt: write the topic and the payload"),
        (&["--trigger", "none"], 2, "door.rhai has no trigger `none`"),
        (
            &["--trigger", "mqtt_subscribe"],
            2,
            "several triggers match: select one with --trigger: `opened`, `mqtt_subscribe window/+`",
        ),
        (&[], 2, "several triggers match"),
        (&["--webhook", "POST door/front"], 2, "has no webhook trigger for this event"),
        (&["--cron", "--at", "soon", "--dry"], 2, "--at: write a time such as"),
        (&["--timer", "closes", "--data", "{"], 2, "--data: invalid JSON"),
        // No broker is running.
        (&["--mqtt", "door/front=ann"], 1, "1 message was not sent or not acknowledged"),
    ] {
        let (exit_code, printed) = try_door(&program, arguments);
        assert!(exit_code == Some(code) && printed.contains(words), "{arguments:?}: {exit_code:?} {printed}");
    }
    program.write("scripts/door.rhai", "cron(\"0 7\", || 1);\nnothing(1);");
    let (code, printed) = try_door(&program, &["--cron"]);
    assert!(code == Some(1) && printed.contains("door.rhai:1:"), "{printed}");
}
