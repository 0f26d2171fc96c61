//! `rhaid record`: messages and HTTP responses are written to the file, without secrets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::program::{Program, text};

/// A running `rhaid record`.
struct Recorder {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Recorder {
    /// Starts the command, and waits until it records.
    fn start(program: &Program, arguments: &[&str]) -> Self {
        let mut command = program.command(&[&["record"], arguments].concat());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let mut recorder = Self { child, errors };
        let line = recorder.line();
        assert!(line.starts_with("recording ") && line.ends_with("; press Ctrl-C to stop\n"), "{line}");
        recorder
    }

    /// Returns the next line of standard error.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.errors.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Waits for the exit; returns the rest of standard error, and standard output.
    fn end(mut self) -> (String, String) {
        let mut stderr = String::new();
        self.errors.read_to_string(&mut stderr).unwrap();
        let output = self.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        (stderr, text(&output.stdout))
    }
}

/// Parses the lines of a recording and removes their times, which must be ascending.
fn lines(text: &str) -> Vec<Json> {
    let mut last = String::new();
    let lines = text.lines().map(|line| {
        assert!(line.starts_with("{\"time\":\""), "{line}");
        let mut json: Json = serde_json::from_str(line).unwrap();
        let time = json.as_object_mut().unwrap().remove("time").unwrap().as_str().unwrap().to_owned();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
        assert!(time >= last, "{time} comes after {last}");
        last = time;
        json
    });
    lines.collect()
}

fn read(program: &Program, file: &str) -> Vec<Json> {
    lines(&std::fs::read_to_string(program.path(file)).unwrap())
}

#[test]
fn messages_of_the_chosen_topics_are_written_in_order_without_secrets() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "secrets:\n  door: hunter22\n");
    program.write("scripts/quiet.rhai", "on_event(\"never\", || ());");
    program.start();
    program.eval("mqtt_publish(\"door/front\", \"closed\", #{ retain: true, qos: 1 })");
    let topics = ["--topic", "door/#", "--topic", "sensor/+/t"];
    let recorder = Recorder::start(&program, &[&topics[..], &["-o", "events.jsonl", "--count", "7"]].concat());
    program.eval(
        r#"mqtt_publish("door/front", "open", #{ qos: 1 });
           mqtt_publish("sensor/a/t", 21.5, #{ qos: 1 });
           mqtt_publish("sensor/a/humidity", "not wanted", #{ qos: 1 });
           mqtt_publish("door/raw", blob(2, 255), #{ qos: 2 });
           mqtt_publish("door/login", #{ user: "ann", password: "x", more: [#{ api_key: 7 }] }, #{ qos: 1 });
           mqtt_publish("door/text", "the code is hunter22, again hunter22", #{ qos: 1 });
           mqtt_publish("door/bell", "")"#,
    );
    let (summary, printed) = recorder.end();
    assert!(summary.starts_with("recorded 7 messages (1 retained) in ") && summary.lines().count() == 1, "{summary}");
    assert_eq!(printed, "");
    assert_eq!(
        read(&program, "events.jsonl"),
        [
            json!({ "topic": "door/front", "payload": "closed", "qos": 1, "retain": true }),
            json!({ "topic": "door/front", "payload": "open", "qos": 1 }),
            json!({ "topic": "sensor/a/t", "payload": "21.5", "qos": 1 }),
            json!({ "topic": "door/raw", "payload_base64": "//8=", "qos": 2 }),
            json!({ "topic": "door/login", "payload": r#"{"more":[{"api_key":"***"}],"password":"***","user":"ann"}"#, "qos": 1 }),
            json!({ "topic": "door/text", "payload": "the code is ***, again ***", "qos": 1 }),
            json!({ "topic": "door/bell", "payload": "" }),
        ]
    );
    let rights =
        std::os::unix::fs::PermissionsExt::mode(&program.path("events.jsonl").metadata().unwrap().permissions());
    assert_eq!(rights & 0o077, 0, "other users can read it");
}

#[test]
fn a_recording_ends_at_a_signal_or_after_its_time_and_flushes_each_line() {
    let mut program = Program::empty();
    program.write("scripts/quiet.rhai", "on_event(\"never\", || ());");
    program.start();
    for signal in ["INT", "TERM"] {
        let mut recorder = Recorder::start(&program, &["--topic", "a"]);
        program.eval("mqtt_publish(\"a\", \"1\", #{ qos: 1 })");
        let mut line = String::new();
        let mut printed = BufReader::new(recorder.child.stdout.take().unwrap());
        printed.read_line(&mut line).unwrap();
        assert_eq!(lines(&line), [json!({ "topic": "a", "payload": "1", "qos": 1 })]);
        recorder.signal(signal);
        assert!(recorder.end().0.starts_with("recorded 1 message in "));
    }
    let (summary, printed) = Recorder::start(&program, &["--topic", "a", "--for", "300ms"]).end();
    assert!(summary.starts_with("recorded 0 messages in ") && printed.is_empty(), "{summary}{printed}");
}

#[test]
fn invalid_recordings_are_refused_with_an_explanation() {
    let program = Program::empty();
    program.write("scripts/quiet.rhai", "on_event(\"never\", || ());");
    program.write("there.jsonl", "mine");
    for (arguments, code, words) in [
        (&["record"][..], 2, "--topic"),
        (&["record", "--topic", "a/#/b"], 2, "--topic: "),
        (&["record", "--topic", "a", "--broker", "attic"], 2, "there is no broker `attic`"),
        (&["record", "--topic", "a", "-o", "there.jsonl"], 1, "there.jsonl exists already: choose another file"),
        (&["record", "--http"], 2, "--output"),
        (&["record", "--http", "-o", "new.jsonl"], 3, "no rhaid is running with the data folder"),
    ] {
        let output = program.rhaid(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    program.write("rhaid.yaml", "mqtt: { url: \"mqtt://127.0.0.1:1\" }");
    let output = program.rhaid(&["record", "--topic", "a", "--for", "200ms"]);
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("no broker answered at mqtt://127.0.0.1:1"), "{stderr}");
    assert_eq!(std::fs::read_to_string(program.path("there.jsonl")).unwrap(), "mine");
    assert!(!program.path("new.jsonl").exists());
}

/// Starts a server that sends the responses of a list in order, one per connection; returns its address.
fn server(responses: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for response in responses {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap());
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            connection.write_all(response.as_bytes()).unwrap();
        }
    });
    address
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

const SCRIPT: &str = r#"
const AT = "http://ann:pw12@SERVER";
mqtt_subscribe("query/{kind}", |msg| {
    let options = #{ params: #{ city: "Oslo", api_key: "k", near: secret("home") }, auth: #{ bearer: "abc" } };
    let answer = http_get(`${AT}/${msg.params.kind}`, if msg.payload == "stream" { #{ stream: true } } else { options });
    mqtt_publish("answer", answer.status_code, #{ qos: 1 });
});
"#;

#[test]
fn http_responses_are_recorded_before_the_messages_that_cause_the_calls() {
    let mut program = Program::empty();
    let weather = r#"{"celsius":3.50,"session_token":"s","said":"hunter22"}"#;
    let server = server(vec![
        response(
            "200 OK",
            "Content-Type: application/json\r\nSet-Cookie: id=7\r\nX-Served-By: a\r\nX-Served-By: b\r\n",
            weather,
        ),
        response("404 Not Found", "", ""),
        response("200 OK", "", &"x".repeat((1 << 20) + 1)),
        response("200 OK", "", "drop by drop"),
        response("200 OK", "", "the last"),
    ]);
    program.write("rhaid.yaml", "secrets:\n  home: hunter22\npermissions:\n  a: { secrets: [home] }\n");
    program.write("scripts/a.rhai", &SCRIPT.replace("SERVER", &server));
    program.start();
    let recorder = Recorder::start(&program, &["--http", "--topic", "query/+", "-o", "events.jsonl", "--count", "8"]);
    for (kind, payload, status) in [
        ("weather", "1", "200"),
        ("none", "2", "404"),
        ("large", "3", "200"),
        ("slowly", "stream", "200"),
        ("last", "4", "200"),
    ] {
        assert_eq!(program.answer_on("answer", &format!("query/{kind}"), payload), status);
    }
    let (summary, _) = recorder.end();
    assert!(summary.starts_with("recorded 5 messages and 3 responses in "), "{summary}");
    assert!(summary.ends_with("; 2 responses left out\n"), "{summary}");
    let file = std::fs::read_to_string(program.path("events.jsonl")).unwrap();
    for secret in ["pw12", "hunter22", "id=7", "abc"] {
        assert!(!file.contains(secret), "{secret} in {file}");
    }
    let recorded = lines(&file);
    let base = format!("http://{server}");
    assert_eq!(
        recorded[0],
        json!({
            "http": format!("GET {base}/weather?api_key=***&city=Oslo&near=***"),
            "status": 200,
            "headers": { "content-type": "application/json", "set-cookie": "***", "x-served-by": "a, b" },
            "body": r#"{"celsius":3.5,"said":"***","session_token":"***"}"#,
        })
    );
    let order: Vec<_> = recorded
        .iter()
        .map(|line| match (line["topic"].as_str(), line["http"].as_str()) {
            (Some(topic), _) => topic.to_owned(),
            (_, Some(http)) => http[base.len() + 4..].split('?').next().unwrap().to_owned(),
            _ => panic!("{line}"),
        })
        .collect();
    let place = |path: &str| order.iter().position(|line| line == path).unwrap();
    for kind in ["weather", "none", "last"] {
        assert!(place(&format!("/{kind}")) < place(&format!("query/{kind}")), "{order:?}");
    }
    assert_eq!(recorded[place("/none")]["body"], "");
}

#[test]
fn http_responses_alone_are_recorded_until_rhaid_stops() {
    let mut program = Program::empty();
    let server = server(vec![response("200 OK", "", "hi")]);
    program.write("scripts/a.rhai", &format!("on_event(\"call\", || http_get(\"http://{server}/\").text);"));
    program.start();
    let recorder = Recorder::start(&program, &["--http", "-o", "events.jsonl"]);
    assert!(program.run(&["fire", "a"]).contains("hi"));
    assert_eq!(program.stop(), Some(0));
    let (summary, _) = recorder.end();
    assert!(summary.starts_with("rhaid has stopped: "), "{summary}");
    assert!(summary.contains("recorded 0 messages and 1 response in "), "{summary}");
    assert_eq!(
        read(&program, "events.jsonl"),
        [json!({ "http": format!("GET http://{server}/"), "status": 200, "body": "hi" })]
    );
}
