//! No function hangs, uses unbounded memory or panics with extreme arguments.

use std::fmt::Write as _;
use std::time::Duration;

use rhaid::functions::reference::{Form, reference};

use super::fixture::Fixture;

/// Argument expressions of a script; `t` is a string of 1 MB.
const VALUES: &[&str] = &[
    "()",
    "true",
    "0",
    "-1",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "1e308",
    "-0.0",
    "(0.0 / 0.0)",
    "(1.0 / 0.0)",
    "``",
    "`\\u{0}`",
    "`/`",
    "`%`",
    "`..`",
    "`$1$1$1$1`",
    "`(a?){200}b|[^b]*`",
    "`(a+a+)+b`",
    "`%9999999999d`",
    "`#`",
    "`http://127.0.0.1:1/`",
    "t",
    "blob(1000000, 65)",
    "[]",
    "#{}",
    "deep",
    "wide",
    "[t, t]",
    "#{ timeout: -1, qos: 9, count: 99999999, count_: t }",
    "|| 1",
    "'x'",
    "now()",
];

#[test]
fn every_function_returns_quickly_with_any_argument() {
    let fixture = Fixture::new();
    let mut wrong = Vec::new();
    for entry in reference() {
        for signature in &entry.signatures {
            let mut script = String::from(
                "let t = blob(1000000, 97).as_string();
                let deep = 1; for i in 0..100 { deep = [deep]; }
                let wide = []; wide.pad(20000, 1);
                let session = http_session(); let r = (); try { r = http_get(`http://example.test/get`); } catch {}
                let time = now(); let m = #{ bytes: blob(1000000, 65) }; let s = shared(`x`); let slow = [];
                let sent = mqtt_publish(`t`, 1, #{ wait: false });\n",
            );
            let receiver = match signature.receiver.as_deref() {
                Some("state") => "s",
                Some("datetime") => "time",
                Some("Response") => "r",
                Some("Headers") => "r.headers",
                Some("Session") => "session",
                Some("Sent") => "sent",
                Some("map") => "m",
                Some("array") => "[t, 1]",
                _ => "",
            };
            for arguments in combinations(signature.parameters.len()) {
                let arguments: Vec<_> = arguments.into_iter().map(|index| VALUES[index]).collect();
                let call = match signature.form {
                    Form::Function => format!("{}({})", entry.function, arguments.join(", ")),
                    Form::Method => format!("{receiver}.{}({})", entry.function, arguments.join(", ")),
                    Form::Property => format!("{receiver}.{}", entry.function),
                    Form::Assignment => format!("{receiver}.{} = {}", entry.function, arguments[0]),
                    Form::Index => format!("{receiver}[{}]", arguments[0]),
                    Form::IndexAssignment => format!("{receiver}[{}] = {}", arguments[0], arguments[1]),
                    Form::Operator => format!("{receiver} {} {}", entry.function, arguments[0]),
                };
                writeln!(script, "try {{ {call}; }} catch {{}}").unwrap();
            }
            // Functions that wait for messages only have to end with their run.
            let waits = matches!(entry.function.as_str(), "mqtt_receive" | "mqtt_request");
            let context = fixture.context(Duration::from_secs(if waits { 1 } else { 120 }));
            match fixture.run_in(&script, &context) {
                Err(why) if !(waits && why.starts_with("Deadline")) => wrong.push(format!("{}: {why}", signature.text)),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Returns indices into `VALUES`: each value in each parameter position, combined with a few others.
fn combinations(parameters: usize) -> Vec<Vec<usize>> {
    let others = [4, 21];
    let mut found = Vec::new();
    match parameters {
        0 => found.push(Vec::new()),
        1 => found.extend((0..VALUES.len()).map(|index| vec![index])),
        _ => {
            for position in 0..parameters {
                for index in 0..VALUES.len() {
                    for other in others {
                        let mut arguments = vec![other; parameters];
                        arguments[position] = index;
                        found.push(arguments);
                    }
                }
            }
        }
    }
    found
}
