//! `rhaid lsp`: the language server, driven by a client over standard input and output.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::Program;

/// Limit for every response, generous for slow machines.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A language client and the server process that it started.
struct Editor {
    program: Program,
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Notifications received while waiting for another message.
    notifications: Vec<Value>,
    last: i64,
}

impl Editor {
    /// Starts the server in a folder and initializes it.
    fn new(program: Program) -> Self {
        let mut editor = Self::uninitialized(program);
        let params = json!({ "processId": null, "rootUri": null, "capabilities": {
            "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } },
            "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } },
        } });
        let response = editor.request("initialize", params);
        assert_eq!(response["serverInfo"]["name"], "rhaid");
        editor.notify("initialized", json!({}));
        editor
    }

    /// Starts the server without the `initialize` request.
    fn uninitialized(program: Program) -> Self {
        let mut command = program.command(&["lsp"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            while let Some(message) = message(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Self { program, input: child.stdin.take(), child, messages, notifications: Vec::new(), last: 0 }
    }

    fn send(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        write!(input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        input.flush().unwrap();
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a request, and returns the whole response.
    fn response(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        loop {
            let message = self.messages.recv_timeout(TIMEOUT).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.notifications.push(message);
        }
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        let response = self.response(method, params);
        assert!(response["error"].is_null(), "{response}");
        response["result"].clone()
    }

    fn uri(&self, file: &str) -> String {
        format!("file://{}", self.program.path(file).display())
    }

    fn open(&mut self, file: &str, text: &str) {
        let document = json!({ "uri": self.uri(file), "languageId": "rhai", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Replaces a range (line, column, line, column).
    fn change(&mut self, file: &str, version: i32, [from, at, to, until]: [u32; 4], text: &str) {
        let range = json!({ "start": { "line": from, "character": at }, "end": { "line": to, "character": until } });
        self.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": self.uri(file), "version": version }, "contentChanges": [{ "range": range, "text": text }] }),
        );
    }

    /// Waits for the next diagnostics of a file.
    fn diagnostics(&mut self, file: &str) -> Vec<Value> {
        let uri = std::fs::canonicalize(self.program.path(file))
            .map_or_else(|_| self.uri(file), |path| format!("file://{}", path.display()));
        let own = self.uri(file);
        let is_it = |message: &Value| {
            message["method"] == "textDocument/publishDiagnostics"
                && [uri.as_str(), own.as_str()].contains(&message["params"]["uri"].as_str().unwrap())
        };
        let found = match self.notifications.iter().position(is_it) {
            Some(index) => self.notifications.remove(index),
            None => loop {
                let message = self.messages.recv_timeout(TIMEOUT).unwrap();
                if is_it(&message) {
                    break message;
                }
                self.notifications.push(message);
            },
        };
        found["params"]["diagnostics"].as_array().unwrap().clone()
    }

    fn position(&self, file: &str, line: u32, character: u32) -> Value {
        json!({ "textDocument": { "uri": self.uri(file) }, "position": { "line": line, "character": character } })
    }

    fn labels(&mut self, file: &str, line: u32, character: u32) -> Vec<String> {
        let position = self.position(file, line, character);
        let response = self.request("textDocument/completion", position);
        response["items"].as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    }

    /// Closes the input; returns the exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        output.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim().strip_prefix("Content-Length: ") {
            Some(number) => length = number.parse().unwrap(),
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut bytes = vec![0; length];
    output.read_exact(&mut bytes).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn program() -> Program {
    let program = Program::empty();
    program.write("rhaid.yaml", "timezone: UTC\n");
    program.write(
        "scripts/_lib/units.rhai",
        "/// Converts to Fahrenheit.\nfn fahrenheit(celsius) { celsius * 1.8 + 32.0 }\nprivate fn hidden() { 1 }\nexport const ZERO = 0;\n",
    );
    program.write(
        "scripts/user.rhai",
        "import \"_lib/units\" as units;\nevery(\"1m\", || print(units::fahrenheit(20)));\n",
    );
    program
}

#[test]
fn diagnostics_of_unsaved_text_appear_and_disappear() {
    let mut editor = Editor::new(program());
    let text = "// 🚪 ü\nevery(\"1m\", || { let s = \"🚪\"; http_gett(s) });\n";
    editor.open("scripts/new.rhai", text);
    let found = editor.diagnostics("scripts/new.rhai");
    assert_eq!(found.len(), 1, "{found:?}");
    let (range, message) = (&found[0]["range"], found[0]["message"].as_str().unwrap());
    assert!(message.starts_with("unknown function `http_gett`\nhelp: did you mean `http_get(url)`"), "{message}");
    let expected = json!({ "start": { "line": 1, "character": 31 }, "end": { "line": 1, "character": 40 } });
    assert_eq!((range, &found[0]["severity"]), (&expected, &json!(1)));
    // The emoji takes two UTF-16 code units.
    editor.change("scripts/new.rhai", 2, [1, 31, 1, 40], "http_get");
    assert_eq!(editor.diagnostics("scripts/new.rhai"), Vec::<Value>::new());
    editor.change("scripts/new.rhai", 3, [2, 0, 2, 0], "fn left_over() { 1 }\n");
    let found = editor.diagnostics("scripts/new.rhai");
    assert_eq!(
        (&found[0]["code"], &found[0]["severity"], &found[0]["tags"]),
        (&json!("unused-function"), &json!(2), &json!([1]))
    );
    assert!(found[0]["message"].as_str().unwrap().contains("rhaid explain unused-function"), "{found:?}");
    let document = json!({ "textDocument": { "uri": editor.uri("scripts/new.rhai") } });
    editor.notify("textDocument/didClose", document);
    assert_eq!(editor.diagnostics("scripts/new.rhai"), Vec::<Value>::new(), "the file was never saved");
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn a_changed_module_triggers_a_check_of_its_importers() {
    let mut editor = Editor::new(program());
    let text = std::fs::read_to_string(editor.program.path("scripts/_lib/units.rhai")).unwrap();
    editor.open("scripts/_lib/units.rhai", &text);
    editor.change("scripts/_lib/units.rhai", 2, [1, 3, 1, 13], "kelvin");
    let found = editor.diagnostics("scripts/user.rhai");
    assert!(found[0]["message"].as_str().unwrap().contains("has no public function `fahrenheit`"), "{found:?}");
    editor.change("scripts/_lib/units.rhai", 3, [1, 3, 1, 9], "fahrenheit");
    assert_eq!(editor.diagnostics("scripts/user.rhai"), Vec::<Value>::new());
    // The fault is in the module itself and is reported there once.
    editor.change("scripts/_lib/units.rhai", 4, [1, 0, 1, 2], "fnn");
    assert_eq!(editor.diagnostics("scripts/_lib/units.rhai").len(), 1);
}

#[test]
fn rhaid_yaml_test_files_and_jobs_are_checked_by_their_own_rules() {
    let mut editor = Editor::new(program());
    editor.open("scripts/user_test.rhai", "test(\"it works\", || { load(\"user\"); });\n");
    editor.change("scripts/user_test.rhai", 2, [0, 0, 0, 4], "fn (");
    let found = editor.diagnostics("scripts/user_test.rhai");
    assert_eq!(found.len(), 1, "only the compiler's diagnostic: {found:?}");
    assert_eq!(found[0]["code"], "syntax");
    let text = "import \"_lib/units\" as units;\ntest(\"it\", || { loda(\"user\"); publish(\"a\"); units::fahrenheit(1); units::kelvin(1); });\n";
    editor.open("scripts/user_test.rhai", text);
    let found = editor.diagnostics("scripts/user_test.rhai");
    let messages: Vec<_> =
        found.iter().map(|found| found["message"].as_str().unwrap().lines().next().unwrap()).collect();
    let units = "`_lib/units.rhai` has no public function `kelvin`";
    assert_eq!(messages, ["unknown function `loda`", "no function `publish` takes 1 argument", units], "{found:?}");
    assert!(found[0]["message"].as_str().unwrap().contains("did you mean `load(script)`?"), "{found:?}");
    editor.program.write("rhaid.yaml", "timezone: UTC\nmqt: 1\n");
    editor.notify("workspace/didChangeWatchedFiles", json!({ "changes": [] }));
    let found = editor.diagnostics("rhaid.yaml");
    assert!(found[0]["message"].as_str().unwrap().contains("mqt"), "{found:?}");
    assert_eq!(found[0]["range"]["start"]["line"], 1);
    editor.open("report.rhai", "print(args.len());\n");
    editor.open("other.rhai", "every(\"1m\", || args);\n");
    let found = editor.diagnostics("other.rhai");
    assert!(found[0]["message"].as_str().unwrap().contains("`args`"), "a script with triggers is not a job: {found:?}");
    assert!(
        editor.notifications.iter().all(|message| !message.to_string().contains("report.rhai")),
        "`args` is defined in a job"
    );
}

#[test]
fn completion_depends_on_the_position() {
    let mut editor = Editor::new(program());
    let lines = [
        "import \"_lib/units\" as units;",
        "fn mine(a) { a }",
        "mqtt_subscribe(\"a\", #{ re }, |msg| {",
        "    msg.",
        "    let answer = http_get(\"x\");",
        "    answer.",
        "    state.",
        "    units::",
        "    mi",
        "});",
        "import \"_l\" as l;",
        "http_post(\"x\", #{ js",
    ];
    editor.open("scripts/new.rhai", &lines.join("\n"));
    let mut at = |line: u32| editor.labels("scripts/new.rhai", line, lines[line as usize].len() as u32);
    let has = |labels: &[String], wanted: &[&str], unwanted: &[&str]| {
        wanted.iter().for_each(|name| assert!(labels.iter().any(|label| label == name), "{name} in {labels:?}"));
        unwanted.iter().for_each(|name| assert!(!labels.iter().any(|label| label == name), "{name} in {labels:?}"));
    };
    has(&at(3), &["topic", "payload", "json"], &["status_code", "http_get"]);
    has(&at(5), &["status_code", "raise_for_status"], &["topic", "add"]);
    has(&at(6), &["add", "keys"], &["status_code"]);
    has(&at(7), &["fahrenheit", "ZERO"], &["hidden", "http_get"]);
    has(&at(8), &["mine", "msg", "answer", "units", "http_get", "cron", "let", "state"], &["a"]);
    has(&at(11), &["json", "headers", "timeout"], &["http_get"]);
    has(&editor.labels("scripts/new.rhai", 2, 25), &["retained", "qos", "timeout", "mode"], &["http_get"]);
    let modules = editor.position("scripts/new.rhai", 10, 10);
    let modules = editor.request("textDocument/completion", modules);
    assert_eq!(modules["items"][0]["textEdit"]["newText"], "_lib/units");
    assert_eq!(modules["items"][0]["textEdit"]["range"]["end"], json!({ "line": 10, "character": 10 }));
    let all = editor.position("scripts/new.rhai", 8, 6);
    let all = editor.request("textDocument/completion", all);
    let cron = all["items"].as_array().unwrap().iter().find(|item| item["label"] == "cron").unwrap();
    assert_eq!(cron["insertText"], "cron(\"${1:expression}\", |tick| {\n\t$0\n});");
}

#[test]
fn test_functions_are_known_only_in_test_files() {
    let mut editor = Editor::new(program());
    let text = "test(\"it\", || {\n    publish(\"a\", 1, #{ re\n    at(\n    emit(\n    \n});";
    for file in ["scripts/new_test.rhai", "scripts/new.rhai"] {
        editor.open(file, text);
        let is_test = file.ends_with("_test.rhai");
        let all = editor.labels(file, 4, 4);
        let has = |name: &str| all.iter().any(|label| label == name);
        assert!(
            has("now") && has("assert_published") == is_test && has("load") == is_test && has("cron") != is_test,
            "{all:?}"
        );
        assert_eq!(editor.labels(file, 1, 24).contains(&"retain".to_owned()), is_test);
        let mut hover = |line: u32, column: u32| {
            let position = editor.position(file, line, column);
            editor.request("textDocument/hover", position)["contents"]["value"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(hover(0, 1).contains("Declares a test"), is_test);
        assert_eq!(hover(2, 5).contains("at(moment: string)"), is_test, "a trigger has the same name");
        assert!(hover(3, 6).contains(if is_test { "as another script would" } else { "on_event" }));
        let position = editor.position(file, 1, 17);
        let help = editor.request("textDocument/signatureHelp", position);
        let active =
            help["activeSignature"].as_u64().map(|active| help["signatures"][active as usize]["label"].clone());
        assert_eq!(active, is_test.then(|| json!("publish(topic: string, payload: any)")), "{help}");
    }
}

#[test]
fn hover_and_definition_work_for_names() {
    let mut editor = Editor::new(program());
    let lines = [
        "import \"_lib/units\" as units;",
        "/// Adds one.",
        "fn next(n) { n + 1 }",
        "mqtt_subscribe(\"a\", #{ retained: \"only\" }, |msg| {",
        "    print(next(units::fahrenheit(msg.json())));",
        "    http_get(\"x\", ",
        "});",
    ];
    editor.open("scripts/new.rhai", &lines.join("\n"));
    let mut hover = |line: u32, column: u32| {
        let position = editor.position("scripts/new.rhai", line, column);
        editor.request("textDocument/hover", position)["contents"]["value"].as_str().unwrap_or_default().to_owned()
    };
    assert!(hover(3, 3).contains("Wakes the handler on each message"));
    assert!(hover(3, 25).contains("only"), "an option");
    assert!(hover(4, 12).contains("fn next(n)") && hover(4, 12).contains("Adds one."));
    assert!(hover(4, 25).contains("Converts to Fahrenheit."));
    assert!(hover(4, 39).contains("as JSON"), "{}", hover(4, 39));
    assert!(hover(5, 6).contains("http_get(url: string, options: map) -> Response"));
    assert_eq!(hover(6, 0), "");
    let mut definition = |line: u32, column: u32| {
        let position = editor.position("scripts/new.rhai", line, column);
        let found = editor.request("textDocument/definition", position);
        let file = found["uri"].as_str().unwrap_or_default().rsplit("scripts/").next().unwrap().to_owned();
        (file, found["range"]["start"]["line"].as_u64(), found["range"]["start"]["character"].as_u64())
    };
    assert_eq!(definition(4, 12), ("new.rhai".into(), Some(2), Some(3)));
    assert_eq!(definition(4, 25), ("_lib/units.rhai".into(), Some(1), Some(3)));
    assert_eq!(definition(0, 12), ("_lib/units.rhai".into(), Some(0), Some(0)));
    assert_eq!(definition(4, 34), ("new.rhai".into(), Some(3), Some(44)));
    assert_eq!(definition(5, 6).1, None, "the function is written in Rust");
    let document = json!({ "textDocument": { "uri": editor.uri("scripts/new.rhai") } });
    let symbols = editor.request("textDocument/documentSymbol", document);
    let names: Vec<_> = symbols.as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["next", "mqtt_subscribe a"]);
    let position = editor.position("scripts/new.rhai", 5, 18);
    let help = editor.request("textDocument/signatureHelp", position);
    let active = help["activeSignature"].as_u64().unwrap() as usize;
    assert_eq!(help["signatures"][active]["label"], "http_get(url: string, options: map) -> Response");
    assert_eq!(help["activeParameter"], 1);
}

#[test]
fn malformed_requests_get_errors_and_the_exit_is_clean() {
    let mut editor = Editor::uninitialized(program());
    assert_eq!(editor.response("textDocument/hover", json!({}))["error"]["code"], -32002);
    for (text, code) in [("{", -32700), ("[1]", -32600), ("{\"id\":7}", -32600), ("\u{0}", -32700)] {
        editor.send(text);
        let response = editor.messages.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(response["error"]["code"], code, "{text}: {response}");
    }
    write!(editor.input.as_mut().unwrap(), "Content-Length: many\r\n\r\n").unwrap();
    assert_eq!(editor.messages.recv_timeout(TIMEOUT).unwrap()["error"]["code"], -32700);
    editor.request("initialize", json!({ "capabilities": {} }));
    assert_eq!(editor.response("textDocument/hover", json!({ "position": 1 }))["error"]["code"], -32602);
    assert_eq!(editor.response("no/such", json!({}))["error"]["code"], -32601);
    editor.notify("textDocument/didChange", json!({ "wrong": true }));
    let position = editor.position("scripts/none.rhai", 4, 4);
    assert_eq!(editor.request("textDocument/hover", position), Value::Null, "the file is not open");
    assert_eq!(editor.request("shutdown", Value::Null), Value::Null);
    assert_eq!(editor.response("textDocument/hover", json!({}))["error"]["code"], -32600);
    editor.notify("exit", Value::Null);
    assert_eq!(editor.child.wait().unwrap().code(), Some(0));
    let mut editor = Editor::uninitialized(program());
    editor.notify("exit", Value::Null);
    assert_eq!(editor.child.wait().unwrap().code(), Some(1), "there was no `shutdown` request");
}
