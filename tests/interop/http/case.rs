//! Test cases: the same call in Rhai and in Python, and the comparison of the results.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::servers::{Servers, python};

/// The Rhai script around each case.
const RHAI: &str = include_str!("show.rhai");

/// The Python program that runs all cases.
const PYTHON: &str = include_str!("show.py");

/// Headers that identify the client or differ between requests; they are not compared.
const OWN: [&str; 9] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "user-agent",
    "x-request-id",
    "transfer-encoding",
];

/// One call in both languages; it stores its result in `seen`.
pub(super) struct Case {
    name: &'static str,
    rhai: &'static str,
    python: &'static str,
    environment: &'static [(&'static str, &'static str)],
    unlike: &'static [(&'static str, &'static str)],
}

/// Creates a case with equal results.
pub(super) const fn case(name: &'static str, rhai: &'static str, python: &'static str) -> Case {
    Case { name, rhai, python, environment: &[], unlike: &[] }
}

impl Case {
    /// Sets environment variables for this case.
    pub(super) const fn within(mut self, environment: &'static [(&'static str, &'static str)]) -> Self {
        self.environment = environment;
        self
    }

    fn environment(&self, servers: &Servers) -> Map<String, Value> {
        self.environment.iter().map(|(name, value)| ((*name).to_owned(), servers.interpolate(value).into())).collect()
    }

    /// Lists the fields that differ on purpose, with the reason.
    pub(super) const fn unlike(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.unlike = fields;
        self
    }

    /// Returns the differences, if there are any.
    fn compare(&self, ours: &Value, theirs: &Value) -> Option<String> {
        let [mut ours, mut theirs] = [ours, theirs].map(|seen| plain(seen.clone()));
        // Without a content type, `requests` has no encoding; rhaid always has one.
        if theirs.get("encoding").is_some_and(Value::is_null) {
            let _ = [&mut ours, &mut theirs].map(|seen| take(seen, "encoding"));
        }
        for (field, why) in self.unlike {
            let [our, their] = [&mut ours, &mut theirs].map(|seen| take(seen, field));
            if our == their {
                return Some(format!("{}: {field} is the same, {our}, although {why}", self.name));
            }
        }
        let differences = differences("", &ours, &theirs);
        (!differences.is_empty()).then(|| format!("{}:\n{differences}", self.name))
    }
}

/// Runs all cases in both languages and fails with all differences.
#[track_caller]
pub(super) fn compare(cases: &[Case]) {
    let servers = Servers::start();
    let theirs = in_python(&servers, cases);
    let ours = in_rhai(&servers, cases);
    let wrong: Vec<_> = cases
        .iter()
        .zip(ours.iter().zip(&theirs))
        .filter_map(|(case, (ours, theirs))| case.compare(ours, theirs))
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn in_python(servers: &Servers, cases: &[Case]) -> Vec<Value> {
    let texts: Vec<_> =
        cases.iter().map(|case| (servers.interpolate(case.python), case.environment(servers))).collect();
    let mut child = servers
        .command(python("python"))
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).expect("a JSON list of results")
}

/// Runs each case as a script, four in parallel.
fn in_rhai(servers: &Servers, cases: &[Case]) -> Vec<Value> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(vec![Value::Null; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((number, case)) = cases.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = run(servers, number, case);
                    seen.lock()[number] = found;
                }
            });
        }
    });
    seen.into_inner()
}

fn run(servers: &Servers, number: usize, case: &Case) -> Value {
    let file = servers.folder().join(format!("case{number}.rhai"));
    let text = RHAI.replace("/* the case */", &servers.interpolate(case.rhai));
    fs::write(&file, text).unwrap();
    let output = servers
        .command(env!("CARGO_BIN_EXE_rhaid"))
        .args(["exec", "--log-level", "off"])
        .arg(&file)
        .envs(case.environment(servers).iter().map(|(name, value)| (name, value.as_str().unwrap())))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let why = || json!({ "fault": String::from_utf8_lossy(&output.stderr) });
    text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(why)
}

/// Normalizes a result: removes client-specific fields and unifies the notation.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(name, _)| !OWN.contains(&name.to_lowercase().as_str()));
            let mut map: Map<_, _> = kept.map(|(name, value)| (name, plain(value))).collect();
            // Error messages differ between the clients.
            if map.contains_key("fault") {
                map.remove("message");
            }
            // The clients format JSON with different spaces, and httpbin echoes the text.
            if map.get("json").is_some_and(|json| !json.is_null()) {
                map.remove("data");
            }
            Value::Object(map)
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::String(text) => match text.strip_prefix("multipart/form-data; boundary=") {
            Some(_) => json!("multipart/form-data"),
            None => text.into(),
        },
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            json!(number.as_f64().unwrap() as i64)
        }
        other => other,
    }
}

/// Removes a field by its path, such as `headers/etag`, and returns it.
fn take(value: &mut Value, path: &str) -> Value {
    match (path.split_once('/'), value) {
        (Some((first, rest)), Value::Object(map)) => map.get_mut(first).map_or(Value::Null, |inner| take(inner, rest)),
        (None, Value::Object(map)) => map.remove(path).unwrap_or_default(),
        _ => Value::Null,
    }
}

/// Returns the differences of two values, one per line.
fn differences(path: &str, ours: &Value, theirs: &Value) -> String {
    match (ours, theirs) {
        (Value::Object(our), Value::Object(their)) => {
            let mut names: Vec<_> = our.keys().chain(their.keys()).collect();
            names.sort();
            names.dedup();
            let value = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or(json!("(none)"));
            names
                .into_iter()
                .map(|name| differences(&format!("{path}/{name}"), &value(our, name), &value(their, name)))
                .collect()
        }
        _ if ours == theirs => String::new(),
        _ => format!("  {path}: the script has {}, requests has {}\n", short(ours), short(theirs)),
    }
}

/// Returns a value as text, cut after 400 characters.
fn short(value: &Value) -> String {
    let text = value.to_string();
    let end = text.char_indices().nth(400).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}
