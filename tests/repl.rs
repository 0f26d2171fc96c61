//! `rhaid repl` with lines from a pipe, which take the same path as lines from a terminal.

use std::io::Write as _;
use std::process::Stdio;

use crate::program::{Program, text};

/// Runs lines; returns standard output, standard error and the exit code.
fn run_lines(program: &Program, arguments: &[&str], lines: &str) -> (String, String, Option<i32>) {
    let mut command = program.command(&[&["repl"], arguments].concat());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn lines_see_earlier_definitions_and_continue_over_open_brackets() {
    let program = Program::empty();
    program.write("scripts/_lib/units.rhai", "fn twice(x) { 2 * x }");
    program.write("more.rhai", "let loaded = 7;\nfn next(x) { x + 1 }\n");
    let lines = r#"
let a = 40;
a + 2
fn sum(x, y) {
    x + y
}
sum(a, 3)
import "_lib/units" as units;
units::twice(21)
state.count = 5;
state.add("count", 1)
let text = `two
lines`;
text.len()
:load more.rhai
next(loaded)
:type 1.5
#{ b: [1] }
()
"#;
    let (printed, errors, code) = run_lines(&program, &[], lines);
    assert_eq!(
        (printed.as_str(), errors.as_str(), code),
        ("42\n43\n42\n6\n9\n8\nf64\n{\n  \"b\": [\n    1\n  ]\n}\n", "", Some(0))
    );
}

#[test]
fn a_fault_shows_its_location_and_the_next_line_is_read() {
    let program = Program::empty();
    let lines =
        "let a = 1;\n  prinnt(a)\n(1 + \n2))\nimport \"_lib/none\" as none;\n:lod x\n:load none.rhai\nsleep(60)\na\n";
    let (printed, errors, code) = run_lines(&program, &["--timeout", "200ms"], lines);
    assert_eq!((printed.as_str(), code), ("1\n", Some(1)));
    for words in [
        "line:1:1: there is no `prinnt`",
        "line:2:3",
        "_lib/none.rhai",
        "unknown command `:lod`: did you mean `:load`?",
        "none.rhai: No such file",
        "the run exceeded its timeout",
    ] {
        assert!(errors.contains(words), "{words:?} in {errors}");
    }
}

#[test]
fn every_exit_word_ends_the_repl() {
    let program = Program::empty();
    for word in [":quit", "exit", "quit()", "exit()"] {
        let (printed, errors, code) = run_lines(&program, &[], &format!("1\n{word}\n2\n"));
        assert_eq!((printed.as_str(), errors.as_str(), code), ("1\n", "", Some(0)), "{word}");
    }
}

#[test]
fn dry_lines_print_their_effects_and_subscribed_messages_are_printed() {
    let mut program = Program::empty();
    program.write("scripts/a.rhai", "mqtt_subscribe(\"ask\", |msg| mqtt_publish(\"answer\", msg.payload));");
    let (printed, errors, code) = run_lines(
        &program,
        &["--dry"],
        "mqtt_publish(\"a\", 1)\nstate.x = 1;\nstate.x\nmqtt_publish(\"a\", 1, #{ wait: false })\n",
    );
    assert!(errors.starts_with("dry run: mqtt_publish a \"1\""), "{errors}");
    assert_eq!((printed.as_str(), code), ("1\n<Sent: confirmed>\n", Some(0)));
    program.start();
    program.wait_for("connected to");
    let lines = ":subscribe answer\nmqtt_request(\"ask\", \"hi\", #{ response_topic: \"answer\" }).payload\nsleep(0.5)\n:unsubscribe\n:quit\nnever\n";
    let (printed, errors, code) = run_lines(&program, &[], lines);
    let mut printed: Vec<_> = printed.lines().collect();
    printed.sort_unstable();
    assert_eq!((printed, errors.as_str(), code), (vec!["answer hi", "hi"], "", Some(0)));
}

#[test]
fn help_lists_commands_and_explains_functions() {
    let program = Program::empty();
    let (printed, errors, _) = run_lines(&program, &[], ":help\n:help mqtt_last\n:help mqtt_lost\n");
    assert!(printed.contains(":subscribe TOPIC") && printed.contains("mqtt_last(topic: string)"), "{printed}");
    assert!(errors.contains("did you mean `mqtt_last`?"), "{errors}");
}
