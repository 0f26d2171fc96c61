//! What scripts may do, and what they are told when they may not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::*;
use crate::functions::Thrown;
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::triggers::{Fire, Kind, Watch};
use crate::value::Map;

/// A kind that takes one argument and one option, so that these tests need no other room.
pub(super) const KINDS: &[&Kind] = &[&Kind {
    name: "wake",
    arguments: &["what"],
    event: "`note`: what there is",
    docs: "Wakes.",
    read: |arguments, options, _| {
        let _ = options.int("level", 1..=3)?;
        match arguments.first().and_then(Value::as_text) {
            Some(what) => Ok(Box::new(Wake(what.to_owned()))),
            None => Err(OptionFault::new("write text")),
        }
    },
}];

struct Wake(String);

impl Trigger for Wake {
    fn summary(&self) -> String {
        format!("wake {}", self.0)
    }

    fn watch(&self, _: Fire, _: &Services) -> Watch {
        Watch::idle()
    }
}

/// A scripts folder in memory.
pub(super) struct Folder(BTreeMap<&'static str, &'static str>);

impl Sources for Folder {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        self.0.get(file).map(|text| Arc::from(*text)).ok_or_else(|| format!("there is no file {file}"))
    }
}

pub(super) fn load_all(files: &[(&'static str, &'static str)], purpose: &Purpose) -> Result<Script, Vec<Fault>> {
    let config = Arc::new(Config::default_in(Path::new("/nowhere")));
    let surroundings = Surroundings { zone: TimeZone::UTC, location: None, base: Path::new("/nowhere").to_owned() };
    let folder = Folder(files.iter().copied().collect());
    Script::load(files[0].0, purpose, Arc::new(folder), &config, &surroundings)
}

fn load(text: &'static str) -> Script {
    load_all(&[("t.rhai", text)], &Purpose::Handlers).unwrap_or_else(|faults| panic!("{}", reports(&faults)))
}

fn faults(text: &'static str) -> Vec<String> {
    load_all(&[("t.rhai", text)], &Purpose::Handlers).err().unwrap_or_default().iter().map(Fault::to_string).collect()
}

fn reports(faults: &[Fault]) -> String {
    faults.iter().map(Fault::report).collect::<Vec<_>>().join("\n")
}

/// Runs code as a run does, but with no context: what needs the outside is tested elsewhere.
fn bare<T: Send>(code: impl FnOnce() -> Result<T, Thrown> + Send) -> Result<T, Thrown> {
    let limits = Config::default_in(Path::new("/nowhere")).limits;
    std::thread::scope(|scope| {
        let run = || guard::loading(&limits, Instant::now() + Duration::from_secs(20), code).0;
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn call(script: &Script, handler: usize, facts: &[(&str, Value)]) -> Result<Value, Fault> {
    let facts: Map = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    bare(|| script.invoke(handler, &facts)).map_err(|error| errors::thrown(&files::Files(script.files.clone()), &error))
}

fn run(text: &'static str, args: &[&str]) -> Result<Finished, Fault> {
    let script = load_all(&[("t.rhai", text)], &Purpose::Job).unwrap_or_else(|faults| panic!("{}", reports(&faults)));
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    bare(|| script.whole(None, &args)).map_err(|error| errors::thrown(&files::Files(script.files.clone()), &error))
}

#[test]
fn a_script_declares_and_its_handlers_are_called() {
    let script = load(
        r#"//! Says what it does.
        //! In two lines.
        const LIMIT = 20;
        let name = "freezer";
        fn over(x) { x > LIMIT }
        private fn double(x) { x * 2 }
        wake("a", |note| `${name} ${over(note.n)} ${double(note.n)}`);
        wake("a", #{ level: 2 }, || LIMIT);
        fn named(note) { note.n + LIMIT }
        wake("b", named);
        wake("c", Fn("double"));
        "#,
    );
    assert_eq!(script.docs, "Says what it does.");
    let names: Vec<_> = script.declared.iter().map(|declared| declared.policy.name.clone().unwrap()).collect();
    assert_eq!(names, ["wake a", "wake a #2", "wake b", "wake c"]);
    let facts = [("n", Value::Int(21))];
    assert_eq!(call(&script, 0, &facts).unwrap(), Value::from("freezer true 42"));
    assert_eq!(call(&script, 1, &facts).unwrap(), Value::Int(20));
    assert_eq!(call(&script, 2, &facts).unwrap(), Value::Int(41));
    assert_eq!(call(&script, 3, &facts).unwrap_err().text, "unknown function * (map, i64)");
}

#[test]
fn a_job_runs_whole_with_its_arguments() {
    let done = run("#!/usr/bin/env -S rhaid exec\nconst N = 2; fn f(x) { x * N } f(args.len())", &["a", "b"]).unwrap();
    assert_eq!(done, Finished { value: Value::Int(4), code: 0 });
    assert_eq!(run("fn f() { exit(3) } f(); 5", &[]).unwrap().code, 3);
}

#[test]
fn a_fault_in_a_run_shows_its_place_and_the_calls() {
    let script =
        load("fn inner(x) {\n  x.foo.bar()\n}\nwake(\"a\", |n| {\n  inner(n)\n});\nwake(\"b\", |n| throw \"no\");");
    let fault = call(&script, 1, &[]).unwrap_err();
    assert_eq!(fault.to_string(), "t.rhai:7:15: no");
    let fault = call(&script, 0, &[]).unwrap_err();
    assert_eq!(fault.place.line, 2);
    assert_eq!(fault.source_line.as_deref(), Some("  x.foo.bar()"));
    assert_eq!(fault.calls.len(), 1);
    assert_eq!((fault.calls[0].function.as_str(), fault.calls[0].place.line), ("inner", 5));
}

#[test]
fn every_wrong_declaration_is_a_fault_where_it_stands() {
    let faults = faults(
        r#"wake("a", #{ level: 7 }, || 1);
wake("b", #{ levle: 2 }, || 1);
wake(5, || 1);
wake("c");
wake("d", #{ name: "x" }, || 1);
wake("e", #{ name: "x" }, || 1);
wake("f", |a, b| 1);"#,
    );
    assert_eq!(
        faults,
        [
            "t.rhai:1:14: level: write a whole number from 1 to 3",
            "t.rhai:2:14: unknown option `levle`: did you mean `level`?",
            "t.rhai:3:6: write text",
            "t.rhai:4:1: the last argument is the handler: write wake(what, [#{ options },] |note| …)",
            "t.rhai:6:14: another trigger of this script is named `x`",
            "t.rhai:7:1: the handler takes at most one argument: what woke it",
        ]
    );
}
