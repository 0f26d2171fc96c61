//! `rhaid check` warns of likely mistakes without false positives; `rhaid explain` explains every code.

use rhaid::script::codes::CODES;
use rhaid::script::lint::LINTS;
use serde_json::Value;

use crate::program::{Program, text};

const UNITS: &str = "fn fahrenheit(celsius) { celsius * 1.8 + 32.0 }";

/// Returns the code, line and message of each warning, and the exit code.
fn check(program: &Program, arguments: &[&str]) -> (Vec<(String, u64, String)>, Option<i32>) {
    let output = program.rhaid(&[&["check", "--format", "json"], arguments].concat());
    let found: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(found["faults"], serde_json::json!([]));
    let warnings = found["warnings"].as_array().unwrap().iter().map(|warning| {
        let text = |name: &str| warning[name].as_str().unwrap().to_owned();
        (text("code"), warning["line"].as_u64().unwrap(), text("message"))
    });
    (warnings.collect(), output.status.code())
}

fn program(script: &str) -> Program {
    let program = Program::empty();
    program.write("scripts/_lib/units.rhai", UNITS);
    program.write("scripts/a.rhai", script);
    program
}

/// Returns the first code block under a heading.
fn block<'d>(docs: &'d str, title: &str) -> &'d str {
    let (_, after) = docs.split_once(&format!("# {title}\n```")).expect("the page has this heading");
    after.split_once('\n').unwrap().1.split_once("\n```").unwrap().0
}

#[test]
fn each_lint_page_shows_a_script_with_the_warning_and_one_without() {
    for lint in LINTS {
        // Lints that compare with recorded events have an `Events` section.
        let arguments: &[&str] = if lint.docs.contains("\n# Events\n") { &["--events", "events.jsonl"] } else { &[] };
        let program = |title: &str| {
            let program = program(block(lint.docs, title));
            if !arguments.is_empty() {
                program.write("events.jsonl", block(lint.docs, "Events"));
            }
            program
        };
        let (found, code) = check(&program("Wrong"), arguments);
        let codes: Vec<_> = found.iter().map(|(code, ..)| code.as_str()).collect();
        assert_eq!((codes, code), (vec![lint.code], Some(0)), "{found:?}");
        let (found, _) = check(&program("Right"), arguments);
        // The correct script of `unknown-lint` shows an allowed warning.
        let found: Vec<_> = found.into_iter().filter(|_| lint.code != "unknown-lint").collect();
        assert_eq!(found, [], "{}", lint.code);
    }
}

#[test]
fn each_fault_page_shows_a_script_with_the_fault_and_one_without() {
    for explained in CODES {
        let wrong = program(block(explained.docs, "Wrong"));
        let output = wrong.rhaid(&["check", "--format", "json"]);
        let found: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        let codes: Vec<_> = found["faults"].as_array().unwrap().iter().map(|fault| fault["code"].clone()).collect();
        assert_eq!((codes, output.status.code()), (vec![Value::from(explained.code)], Some(1)), "{found}");
        let compact = text(&wrong.rhaid(&["check", "--format", "compact"]).stdout);
        assert!(compact.ends_with(&format!(" [{}]\n", explained.code)) && !compact.contains("warning"), "{compact}");
        let text_format = text(&wrong.rhaid(&["check"]).stdout);
        assert!(text_format.contains(&format!("fault [{}] a.rhai:", explained.code)), "{text_format}");
        assert_eq!(
            check(&program(block(explained.docs, "Right")), &["--strict"]),
            (vec![], Some(0)),
            "{}",
            explained.code
        );
    }
}

#[test]
fn every_kind_of_fault_has_its_code() {
    for (script, code) in [
        ("fn f(a) { a }\nevery(\"1m\", || f());", "unknown-function"),
        ("every(\"1m\", || state = 1);", "lost-assignment"),
        ("every(\"1m\", || units::fahrenheit(1));", "import"),
        ("import \"_lib/units\" as units;\nevery(\"1m\", || units::kelvin(1));", "unknown-function"),
        ("import \"_lib/units\" as units;\nevery(\"1m\", || units::ZERO);", "unknown-variable"),
        ("every(\"1m\", #{ name: \"a\" }, || 1);\nevery(\"2m\", #{ name: \"a\" }, || 1);", "declaration"),
        ("every(\"1m\", 1);", "declaration"),
        ("every(\"soon\", || 1);", "declaration"),
        ("throw \"no\";", "top-level"),
        ("loop {}", "top-level"),
    ] {
        let program = program(script);
        let output = program.rhaid(&["check", "--format", "json"]);
        let found: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        assert_eq!(found["faults"][0]["code"], code, "{script}: {found}");
    }
}

#[test]
fn shipped_scripts_have_no_warnings() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let program = Program::empty();
    for setup in [
        "scripts",
        "examples/motion-light/scripts",
        "examples/thermostat/scripts",
        "examples/device-watchdog/scripts",
        "examples/web-and-mqtt/scripts",
        "examples/home-assistant/scripts",
        "examples/quick-start/scripts",
        "examples/http/scripts",
    ] {
        let config = format!(
            "{folder}/{}",
            setup.strip_suffix("/scripts").map_or("none".to_owned(), |s| format!("{s}/rhaid.yaml"))
        );
        let path = format!("{folder}/{setup}");
        let config = if std::path::Path::new(&config).exists() { vec!["--config", &config] } else { vec![] };
        let output = program.rhaid(&[&config[..], &["check", "--strict", "--format", "compact", &path]].concat());
        let printed = text(&output.stdout);
        assert!(output.status.success(), "{setup}: {printed} {}", text(&output.stderr));
    }
}

#[test]
fn warnings_are_allowed_by_comments_and_fail_with_strict() {
    let program = program(concat!(
        "every(\"1m\", || { let a = 1; }); // rhaid: allow(unused-variable)\n",
        "// rhaid: allow(unused-variable, sleep-outlasts)\n",
        "every(\"2m\", || { let b = 1; sleep(\"1m\"); });\n",
        "every(\"3m\", || { let c = 1; });\n",
        "fn left_over() { 1 } // rhaid: allow-file(unused-function)\n",
        "fn left_too() { 1 }\n",
    ));
    let expected = ("unused-variable".to_owned(), 4, "`c` is never read".to_owned());
    assert_eq!(check(&program, &[]), (vec![expected.clone()], Some(0)));
    assert_eq!(check(&program, &["--strict"]), (vec![expected], Some(1)));
    let compact = text(&program.rhaid(&["check", "--format", "compact"]).stdout);
    assert_eq!(compact, "scripts/a.rhai:4:22: warning: `c` is never read [unused-variable]\n");
    let text_format = program.run(&["check"]);
    assert!(
        text_format.contains("warning [unused-variable] a.rhai:4:22: `c` is never read\n  |\n4 |"),
        "{text_format}"
    );
    assert!(text_format.ends_with("1 script, 3 triggers, no faults, 1 warning\n"), "{text_format}");
}

#[test]
fn scripts_that_trigger_each_other_are_reported_once() {
    let program = program("mqtt_subscribe(\"ping\", |msg| mqtt_publish(\"pong\", 1));");
    program.write(
        "scripts/b.rhai",
        "mqtt_subscribe(\"pong\", |msg| mqtt_publish(\"ping\", 1));\nwebhook(\"w\", #{ public: true }, || 1);",
    );
    program.write("scripts/c.rhai", "mqtt_subscribe(\"pong\", |msg| if msg.payload != \"1\" { mqtt_publish(\"pong\", 1) });\nwebhook(\"w\", #{ public: true }, || 1);");
    let (found, _) = check(&program, &[]);
    let expected = [
        (
            "mqtt-loop".to_owned(),
            1,
            "a message on `pong` triggers this handler again through b.rhai: a loop".to_owned(),
        ),
        (
            "same-webhook".to_owned(),
            2,
            "`webhook w` is also declared at b.rhai:2:1: only one of them is called".to_owned(),
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn topics_are_compared_with_recorded_events() {
    let program = program(concat!(
        "mqtt_subscribe([\"door/{name}/lok\", \"door/+/state\"], |msg| print(msg.topic));\n",
        "for room in [\"attic\", \"celar\"] { mqtt_subscribe(`room/${room}/#`, |msg| print(msg.topic)); }\n",
        "mqtt_subscribe(\"$share/group/zigbee2mqtt/#\", |msg| print(msg.topic));\n",
        "mqtt_subscribe(\"later\", |msg| print(msg.topic)); // rhaid: allow(unseen-topic)\n",
        "mqtt_silence(\"router\", \"5m\", || print(\"dead\"));\n",
    ));
    let message = |topic: &str| format!("{{\"time\": \"2026-01-01T00:00:00Z\", \"topic\": \"{topic}\"}}\n");
    let recorded = ["door/front/lock", "door/front/state", "room/attic/light/1", "room/cellar/light/1"].map(message);
    program.write("day.jsonl", &(recorded.concat() + "{\"time\": \"2026-01-01T00:00:01Z\", \"event\": \"later\"}\n"));
    assert_eq!(check(&program, &[]).0, [], "no events are given");
    let unseen =
        |line: u64, topic: &str| ("unseen-topic".to_owned(), line, format!("no recorded message matches `{topic}`"));
    let wanted = [unseen(1, "door/{name}/lok"), unseen(2, "room/celar/#"), unseen(3, "$share/group/zigbee2mqtt/#")];
    assert_eq!(check(&program, &["--events", "day.jsonl"]), (wanted.to_vec(), Some(0)));
    let text_format = program.rhaid(&["check", "--strict", "--events", "day.jsonl"]);
    let output = text(&text_format.stdout);
    assert_eq!(text_format.status.code(), Some(1), "{output}");
    for similar in ["door/front/lock", "room/cellar/light/1"] {
        assert!(
            output.contains(&format!("help: the most similar recorded topic is `{similar}`: did you mean it?")),
            "{output}"
        );
    }
    assert!(output.contains("help: check the spelling, or record until a message arrives there"), "{output}");
    program.write("none.jsonl", "");
    let empty = program.rhaid(&["check", "--events", "none.jsonl"]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(text(&empty.stderr).contains("no messages in none.jsonl: record some with `rhaid record"), "{empty:?}");
}

#[test]
fn any_use_of_a_name_counts_as_used() {
    let (found, _) = check(
        &program(
            r#"
import "_lib/units" as units;
const LIMIT = 3;
const OTHER = 4;
let names = ["a", "b"];
fn by_name(x) { x + global::OTHER }
fn helper(n) { if n > LIMIT { n } else { helper(n + 1) } }
for name in names {
    mqtt_subscribe(`door/${name}`, #{ timeout: "10m" }, |msg| {
        let count = 0;
        let all = [];
        count += 1;
        all.push(helper(count));
        let f = Fn("by_name");
        let _reason = 1;
        sleep("5m");
        print(`${all} ${f.call(1)} ${units::fahrenheit(20)} ${msg.payload == "5"} ${name}`);
    });
}
"#,
        ),
        &[],
    );
    assert_eq!(found, []);
}

#[test]
fn each_comparison_of_different_types_has_its_message() {
    let handler =
        |condition: &str| program(&format!("mqtt_subscribe(\"a\", |msg| {{ if {condition} {{ print(msg); }} }});"));
    for (condition, output) in [
        ("msg.payload == 30", "`msg.payload` is text and never equal to a number"),
        ("msg.payload > 30", "`msg.payload` is text and never smaller or greater than a number"),
        ("msg.payload != \"\" && \"5\" != 5", "text is never equal to a number: `!=` is always true"),
        ("msg.payload != \"\" && \"5\" < 5", "text is never smaller or greater than a number: `<` is always false"),
    ] {
        let (found, _) = check(&handler(condition), &[]);
        assert_eq!(found.iter().map(|(.., message)| message.as_str()).collect::<Vec<_>>(), [output], "{condition}");
    }
}

#[test]
fn codes_are_explained_and_unknown_ones_get_a_suggestion() {
    let program = Program::empty();
    let all = program.run(&["explain"]);
    assert!(LINTS.iter().all(|lint| all.contains(lint.code)), "{all}");
    assert!(CODES.iter().all(|explained| all.contains(explained.code)), "{all}");
    let fault = program.run(&["explain", "Lost-Assignment"]);
    assert!(fault.contains("state.add(\"count\", 1)"), "{fault}");
    let page = program.run(&["explain", "payload-type"]);
    assert!(page.contains("msg.json()") && page.contains("Right"), "{page}");
    let wrong = program.rhaid(&["explain", "payload-typ"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("did you mean `payload-type`?"));
}
