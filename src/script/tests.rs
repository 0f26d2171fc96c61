//! What scripts may do, and what they are told when they may not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::*;
use crate::functions::Thrown;
use crate::options::OptionFault;
use crate::services::Services;
use crate::triggers::{EventSender, Kind, Watch};
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
    try_option: None,
}];

struct Wake(String);

impl Trigger for Wake {
    fn summary(&self) -> String {
        format!("wake {}", self.0)
    }

    fn watch(&self, _: EventSender, _: &Services) -> Watch {
        Watch::idle()
    }

    fn example(&self, _: &Map, _: &Services) -> Map {
        Map::new()
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
    let trigger_context = TriggerContext {
        zone: TimeZone::UTC,
        location: None,
        brokers: std::sync::Arc::default(),
        base: Path::new("/nowhere").to_owned(),
    };
    let folder = Folder(files.iter().copied().collect());
    Script::load(files[0].0, purpose, Arc::new(folder), &config, &trigger_context)
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
        std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn call(script: &Script, handler: usize, payload: &[(&str, Value)]) -> Result<Value, Box<Fault>> {
    let payload: Map = payload.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    bare(|| script.invoke(handler, &payload))
        .map_err(|error| errors::thrown(&files::Files(script.files.clone()), &error).into())
}

fn run(text: &'static str, args: &[&str]) -> Result<JobResult, Box<Fault>> {
    let script = load_all(&[("t.rhai", text)], &Purpose::Job).unwrap_or_else(|faults| panic!("{}", reports(&faults)));
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    bare(|| script.whole(None, &args))
        .map_err(|error| errors::thrown(&files::Files(script.files.clone()), &error).into())
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
    let names: Vec<_> = script.declarations.iter().map(|declared| declared.policy.name.clone().unwrap()).collect();
    assert_eq!(names, ["wake a", "wake a #2", "wake b", "wake c"]);
    let payload = [("n", Value::Int(21))];
    assert_eq!(call(&script, 0, &payload).unwrap(), Value::from("freezer true 42"));
    assert_eq!(call(&script, 1, &payload).unwrap(), Value::Int(20));
    assert_eq!(call(&script, 2, &payload).unwrap(), Value::Int(41));
    assert_eq!(call(&script, 3, &payload).unwrap_err().text, "`*` does not work on map and int");
}

#[test]
fn a_closure_that_is_a_handler_can_be_called_by_others_too() {
    let script = load(
        r#"let twice = |x| x * 2;
        wake("a", twice);
        wake("b", |note| twice.call(note));
        wake("c", || 7);
        let seven = || 7;
        wake("d", || seven.call() + [1].map(|x| x + 1)[0]);
        let more = 5;
        wake("e", |note| note.n + more);
        "#,
    );
    let payload = [("n", Value::Int(21))];
    let called = |handler| call(&script, handler, &payload);
    assert!(called(0).unwrap_err().text.contains("`*` does not work on map and int"));
    assert!(called(1).unwrap_err().text.contains("`*` does not work on map and int"));
    let values: Vec<_> = (2..5).map(|handler| called(handler).unwrap()).collect();
    assert_eq!(values, [7, 9, 26].map(Value::Int));
}

#[test]
fn a_handler_captures_what_it_could_see_where_it_was_written() {
    let script = load(
        r#"for room in ["bath", "hall"] { wake(room, || room); }
        let list = [1];
        wake("a", || list);
        list.push(2);
        "#,
    );
    let values: Vec<_> = (0..3).map(|handler| call(&script, handler, &[]).unwrap()).collect();
    assert_eq!(values, [Value::from("bath"), Value::from("hall"), Value::List(vec![Value::Int(1)])]);
}

#[test]
fn scripts_that_share_a_thread_import_their_own_modules_only() {
    let read = r#"fn read() { import "_lib/a" as it; it::NAME } wake("a", || read());"#;
    let files = |module| [("t.rhai", read), ("_lib/a.rhai", module)];
    let one = load_all(&files("export const NAME = 1;"), &Purpose::Handlers).ok().unwrap();
    let two = load_all(&files("export const NAME = 2;"), &Purpose::Handlers).ok().unwrap();
    let both = bare(|| Ok([&one, &two, &one].map(|script| script.invoke(0, &Map::new()).unwrap())));
    assert_eq!(both.unwrap(), [1, 2, 1].map(Value::Int));
}

#[test]
fn a_job_runs_whole_with_its_arguments() {
    let done = run("#!/usr/bin/env -S rhaid exec\nconst N = 2; fn f(x) { x * N } f(args.len())", &["a", "b"]).unwrap();
    assert_eq!(done, JobResult { value: Value::Int(4), code: 0 });
    assert_eq!(run("fn f() { exit(3) } f(); 5", &[]).unwrap().code, 3);
    let seen = run("fn f() { args[0] } [1].map(|x| args[0] + f() + event)[0]", &["a"]).unwrap();
    assert_eq!(seen.value, Value::from("aa"));
}

#[test]
fn a_fault_in_a_run_shows_its_place_and_the_calls() {
    let script =
        load("fn inner(x) {\n  x.foo - 1\n}\nwake(\"a\", |n| {\n  inner(n)\n});\nwake(\"b\", |n| throw \"no\");");
    let fault = call(&script, 1, &[]).unwrap_err();
    assert_eq!(fault.to_string(), "t.rhai:7:15: no");
    let fault = call(&script, 0, &[]).unwrap_err();
    assert_eq!(fault.location.line, 2);
    assert_eq!(fault.source_line.as_deref(), Some("  x.foo - 1"));
    assert_eq!(fault.calls.len(), 1);
    assert_eq!((fault.calls[0].function.as_str(), fault.calls[0].location.line), ("inner", 5));
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

#[test]
fn unknown_names_are_found_at_load_wherever_they_stand() {
    let found = faults(
        r#"const LIMIT = 3;
let loose = 1;
fn f(celsius) { celcius + LIMIT }
fn g() { loose }
wake("a", |note| {
    if false { pirnt(note); f(1, 2); }
    let inner = |x| x + nothing;
    [1].map(|x| x + LIMIT + loose);
    note.text.lenn();
    note.whatever.deeper = LATER;
});
const LATER = 5;
lib::f(1);
"#,
    );
    assert_eq!(
        found,
        [
            "t.rhai:3:17: unknown variable `celcius`",
            "t.rhai:4:10: functions do not see the variable `loose` of the top level",
            "t.rhai:6:16: unknown function `pirnt`",
            "t.rhai:6:29: no function `f` takes 2 arguments",
            "t.rhai:7:25: unknown variable `nothing`",
            "t.rhai:9:15: unknown function `lenn`",
            "t.rhai:10:28: `LATER` is used before it is defined, in line 12",
            "t.rhai:13:1: no module is imported as `lib`",
        ]
    );
}

#[test]
fn hints_name_what_was_most_likely_meant() {
    let script = "fn double(x) { x } wake(\"a\", |n| n.text.sub_stirng(1)); doubel(2); double(1, 2);";
    let faults = load_all(&[("t.rhai", script)], &Purpose::Handlers).err().unwrap();
    let hints: Vec<_> = faults.iter().map(|fault| fault.hint.clone().unwrap_or_default()).collect();
    assert_eq!(
        hints[0],
        "did you mean `sub_string(string, range)` or `sub_string(string, start)` or `sub_string(string, start, len)`?"
    );
    assert_eq!(hints[1..], ["did you mean `double(x)`?", "write `double(x)`"]);
}

#[test]
fn assigning_to_what_was_captured_is_a_fault_that_names_state() {
    let found = faults(
        r#"let count = 0; let cfg = #{ list: [] }; let total = 0;
[1, 2].for_each(|n| total += n);
wake("a", || { count += 1 });
wake("b", || { cfg.list.push(1); });
wake("c", || { [1].for_each(|n| { count = n }) });
let bump = || { cfg.n = 1 };
wake("d", || bump.call());
wake("e", |note| { let sum = 0; [1].for_each(|n| sum += n); let count = 1; count += 1; sum + count });
fn sum(list) { let sum = 0; list.for_each(|n| sum += n); sum }
wake("f", || { let copy = cfg; copy.n = 1; sum([1]) + total + copy.list.len() });
"#,
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    let places: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["t.rhai:3:16", "t.rhai:4:16", "t.rhai:5:35", "t.rhai:6:17"]);
    assert!(
        found[0]
            .ends_with("`count` is captured, and captured variables are constants: each run starts from a fresh copy")
    );
}

#[test]
fn modules_work_when_their_functions_are_called_later() {
    let files = [
        (
            "deep/t.rhai",
            r#"import "_lib/units" as units;
import "./near" as near;
const OWN = 5;
fn named(n) { units::double(n.n) + OWN + near::ONE }
wake("a", |n| units::double(n.n) + units::inner::three() + OWN);
wake("b", units::maker(10));
wake("c", named);
wake("d", |n| units::each([1, 2], |x| x + OWN));
"#,
        ),
        ("deep/near.rhai", "export const ONE = 1;"),
        (
            "_lib/units.rhai",
            r#"import "_lib/inner" as inner;
const FACTOR = 2;
private fn times(a, b) { a * b }
fn double(x) { times(x, FACTOR) }
fn maker(n) { |note| times(note.n, FACTOR) + n + inner::three() }
fn each(list, f) { list.map(|x| f.call(x)) }
"#,
        ),
        ("_lib/inner.rhai", "fn three() { 3 }"),
    ];
    let script = load_all(&files, &Purpose::Handlers).unwrap_or_else(|faults| panic!("{}", reports(&faults)));
    let names: Vec<_> = script.files.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(names, ["deep/t.rhai", "_lib/units.rhai", "_lib/inner.rhai", "deep/near.rhai"]);
    let payload = [("n", Value::Int(4))];
    let answers: Vec<_> = (0..4).map(|handler| call(&script, handler, &payload).unwrap()).collect();
    let list = Value::List(vec![Value::Int(6), Value::Int(7)]);
    assert_eq!(answers, [Value::Int(16), Value::Int(21), Value::Int(14), list]);
}

#[test]
fn what_is_wrong_with_an_import_is_told_where_it_stands() {
    let wrong = |files: &[(&'static str, &'static str)]| -> Vec<String> {
        load_all(files, &Purpose::Handlers).err().unwrap_or_default().iter().map(Fault::to_string).collect()
    };
    assert_eq!(wrong(&[("t.rhai", "import \"gone\" as x;")]), ["t.rhai:1:8: there is no file gone.rhai"]);
    let out = wrong(&[("t.rhai", "fn f() { import \"../x\" as x; }")]);
    assert_eq!(out, ["t.rhai:1:17: \"../x\" leads out of the scripts folder, where modules must be"]);
    assert!(wrong(&[("t.rhai", "import \"/etc/x\" as x;")])[0].contains("is no module"));
    assert!(
        wrong(&[("t.rhai", "let a = \"x\"; import a as x;")])[0]
            .starts_with("t.rhai:1:21: an import needs a plain text")
    );
    let circle = wrong(&[("a.rhai", "import \"b\" as b;"), ("b.rhai", "import \"a\" as a;")]);
    assert_eq!(circle, ["b.rhai:1:8: circular import: a.rhai -> b.rhai -> a.rhai"]);
    let declares = wrong(&[("t.rhai", "import \"m\" as m;"), ("m.rhai", "wake(\"a\", || 1);")]);
    assert_eq!(declares, ["m.rhai:1:1: a module declares no triggers: call `wake` in the script that imports it"]);
    let unknown = wrong(&[("t.rhai", "import \"m\" as m; m::doubel(1); m::LIMIT"), ("m.rhai", "fn double(x) { y }")]);
    assert_eq!(
        unknown,
        [
            "t.rhai:1:21: `m.rhai` has no public function `doubel`",
            "t.rhai:1:32: `m.rhai` exports no constant `LIMIT`",
            "m.rhai:1:16: unknown variable `y`",
        ]
    );
}

/// Loads and runs a job within small limits; returns what it said and how long it took.
fn hostile(
    text: &'static str,
    memory: u64,
    milliseconds: u64,
) -> (Result<JobResult, String>, Option<crate::functions::Stop>, Duration) {
    let started = Instant::now();
    let script = match load_all(&[("t.rhai", text)], &Purpose::Job) {
        Ok(script) => script,
        Err(faults) => return (Err(reports(&faults)), None, started.elapsed()),
    };
    let limits = crate::config::Limits { memory, ..Config::default_in(Path::new("/nowhere")).limits };
    let (ended, stop) = std::thread::scope(|scope| {
        let run = || {
            guard::loading(&limits, Instant::now() + Duration::from_millis(milliseconds), || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script.whole(None, &[])));
                match ended {
                    Ok(ended) => {
                        ended.map_err(|error| errors::thrown(&files::Files(script.files.clone()), &error).to_string())
                    }
                    Err(panic) => Err(errors::panicked(&files::Files(Vec::new()), &*panic).to_string()),
                }
            })
        };
        std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
    });
    (ended, stop, started.elapsed())
}

#[test]
fn hostile_scripts_end_with_a_fault_while_the_process_lives() {
    let (big, deep) =
        ("let s = \"x\"; while s.len() < 30000 { s += s; } ", "let a = []; for i in 0..1200 { a = [a]; } ");
    let text = |parts: &[&str]| -> &'static str { parts.concat().leak() };
    let scripts = [
        text(&["let s = \"x\"; s.pad(64, \"\")"]),
        text(&["let s = \"x\"; s.pad(9223372036854775807, \"ab\")"]),
        text(&["let a = [1]; a.pad(9223372036854775807, [1, [2]])"]),
        text(&["let b = blob(9223372036854775807); b"]),
        text(&["let b = blob(1); b.pad(9223372036854775807, 1)"]),
        text(&[big, "for i in 0..8 { s.replace(\"x\", s) } s"]),
        text(&[big, "while true { s += s; }"]),
        text(&[big, "loop { s.split(\"\"); s.to_chars(); s += s; }"]),
        text(&["let c = (); loop { let p = c; c = || p; }"]),
        text(&["fn foo(x) { 1 } let f = Fn(\"foo\"); loop { f = f.curry(f); }"]),
        text(&[deep, "print(a); throw a"]),
        text(&[deep, "`${a}`"]),
        text(&[deep, "a.to_json()"]),
        text(&[deep, "let b = a; if a == b { throw \"equal\" }"]),
        text(&[deep, "for i in 0..20000 { a = [a]; }"]),
        text(&["let x = [1]; loop { x.push([x.pop()]); }"]),
        text(&["let l = []; l.pad(5000, 1); l.for_each(|x| { for i in 0..200000 { i } })"]),
        text(&["loop { try { [1].map(|x| { loop {} }) } catch {} }"]),
        text(&[
            "let s = \"x\"; s.pad(1000000, 'x'); let c = (); loop { let p = c; let q = s + \"\"; q += \"y\"; c = || [p, q]; }",
        ]),
        text(&["let s = \"x\"; s.pad(1000000, 'x'); let l = []; l.pad(10000, 1); l.map(|x| s + \"y\")"]),
        text(&["let l = []; l.pad(10000, 1); l.map(|x| { let m = []; m.pad(10000, 1); m })"]),
        text(&["let s = \"x\"; s.pad(10000000, 'x'); let l = []; l.pad(100000, s); `${l}`"]),
        text(&["let s = \"x\"; s.pad(10000000, 'x'); let l = []; l.pad(100000, s); print(l)"]),
        text(&["let l = []; l.pad(10000, 1); loop { let b = l; b.sort(); }"]),
        text(&[
            "let a = []; let n = 0; while n < 1000 { try { a.for_each(|| a.push(1)); a.push(1); } catch { n -= 1; } n += 1; } loop {}",
        ]),
        text(&["let m = #{}; loop { let s = \"\"; s.pad(1000000, 'x'); m.f = || [m, s]; }"]),
        text(&["fn f(x) { f(x + 1) } f(1)"]),
        text(&["fn f(x) { [x].map(|y| f(y)) } f(1)"]),
        text(&["let f = |g| g.call(g); f.call(f)"]),
        text(&["eval(\"loop {}\")"]),
        text(&["parse_json(\"[\" + \"[\".pad(100000, '[') )"]),
        text(&["let t = \"[\"; t.pad(200000, '['); parse_json(t)"]),
        text(&["sleep(100000)"]),
        text(&["sleep(1e300)"]),
    ];
    for script in scripts {
        let (ended, stop, took) = hostile(script, 64 << 20, 500);
        assert!(ended.is_err() || stop.is_some(), "{script}: {ended:?}");
        assert!(took < Duration::from_secs(30), "{script}: {took:?}");
    }
}

/// The values that break functions.
fn extremes() -> Vec<rhai::Dynamic> {
    use rhai::Dynamic;
    let mut deep = rhai::Array::new();
    for _ in 0..500 {
        deep = vec![Dynamic::from(deep)];
    }
    let list: rhai::Array = vec![1.into(), "a".into(), Dynamic::from(vec![Dynamic::from(2_i64)])];
    let map: rhai::Map = [("a".into(), Dynamic::ONE), ("".into(), Dynamic::UNIT)].into_iter().collect();
    let mut values: Vec<Dynamic> = [0, 1, -1, 64, i64::MAX, i64::MIN].map(Dynamic::from).to_vec();
    values.extend([0.0, -0.5, f64::NAN, f64::INFINITY, 1e300].map(Dynamic::from));
    values.extend(["", "x", "1s", "\u{1F600}\u{301}"].map(Dynamic::from));
    values.extend([Dynamic::from("x".repeat(100_000)), Dynamic::from('c'), Dynamic::TRUE, Dynamic::UNIT]);
    values.extend([Dynamic::from_blob(Vec::new()), Dynamic::from_blob(vec![255; 100_000])]);
    values.extend([rhai::Array::new(), list, vec![Dynamic::ONE; 5_000], deep].map(Dynamic::from));
    values.extend([Dynamic::from(rhai::Map::new()), Dynamic::from(map)]);
    values.extend([Dynamic::from(0..i64::MAX), Dynamic::from(i64::MIN..=i64::MAX), Dynamic::from(5_i64..=5)]);
    values.push(rhai::FnPtr::new("abs").unwrap().into());
    values
}

#[test]
fn every_function_survives_extreme_arguments() {
    let mut limits = Config::default_in(Path::new("/nowhere")).limits;
    limits.memory = 64 << 20;
    let fuzz = move || {
        let engine = engine::new(&limits);
        let global = engine.new_global_runtime_state();
        let values = extremes();
        let (mut calls, mut seed) = (0_u32, 1_usize);
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for (name, count) in analyse::known::calls() {
            let tries = if count <= 1 { values.len() } else { 120 };
            for attempt in 0..tries {
                let pick = |index: usize| if count <= 1 { attempt } else { index };
                let mut args: Vec<_> = (0..count).map(|_| values[pick(random(values.len()))].clone()).collect();
                let written = format!("{name}({args:.60?})");
                let started = Instant::now();
                let (ended, _) = guard::loading(&limits, Instant::now() + Duration::from_millis(300), || {
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let context =
                            rhai::NativeCallContext::new_with_all_fields(&engine, name, None, &global, Position::NONE);
                        let mut args: Vec<_> = args.iter_mut().collect();
                        let _ = context.call_native_fn_raw(name, true, &mut args);
                    }))
                });
                calls += 1;
                assert!(started.elapsed() < Duration::from_secs(10), "{written:.300} took {:?}", started.elapsed());
                if ended.is_err() {
                    println!("caught a panic in {written:.300}");
                }
            }
        }
        calls
    };
    let calls = std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn(fuzz).unwrap().join().unwrap();
    assert!(calls > 10_000, "{calls}");
}

#[test]
fn what_a_script_leaves_behind_can_be_dropped_anywhere() {
    let deep = "let c = (); for i in 0..5000 { let p = c; c = || p; } ";
    let constant = [deep, "const DEEP = c; fn f() { 1 }"].concat().leak();
    assert_eq!(faults(constant), ["t.rhai: the constant `DEEP` nests deeper than 128 levels"]);
    let captured = [deep, "\nwake(\"a\", || c);"].concat().leak();
    assert_eq!(faults(captured), ["t.rhai:2:1: what the handler captures nests deeper than 128 levels"]);
    let files = [("t.rhai", "import \"m\" as m;"), ("m.rhai", constant)];
    let found = load_all(&files, &Purpose::Handlers).err().unwrap();
    assert_eq!(found[0].to_string(), "m.rhai: the constant `DEEP` nests deeper than 128 levels");
}

#[test]
fn small_mistakes_are_told_in_plain_words() {
    assert_eq!(faults("state = 5;"), ["t.rhai:1:1: `state` itself can not be replaced"]);
    assert_eq!(faults("wake(\"a\", || { state = #{} });"), ["t.rhai:1:16: `state` itself can not be replaced"]);
    let called = load_all(&[("t.rhai", "let f = |x| x; f(1);")], &Purpose::Handlers).err().unwrap();
    assert_eq!(called[0].hint.as_deref(), Some("`f` is a variable: write `f.call(…)`"));
    let script = load("let list = [1]; wake(\"a\", || { let f = |l| l.push(2); f.call(list); list.len() });");
    assert_eq!(call(&script, 0, &[]).unwrap(), Value::Int(1));
    assert_eq!(call(&script, 0, &[]).unwrap(), Value::Int(1), "each run starts from a fresh copy");
    assert_eq!(run("#{} - 1", &[]).unwrap_err().to_string(), "t.rhai:1:5: `-` does not work on map and int");
    assert_eq!(run("1 + ()", &[]).unwrap_err().to_string(), "t.rhai:1:3: `+` does not work on int and ()");
    let started = run("let a = #{};\n a.n += 1;", &[]).unwrap_err();
    assert_eq!(started.hint.as_deref(), Some("`a.n` has no value yet: write `a.n = (a.n ?? 0) + 1`"));
    let unasked = run("let sent = (); sent.wait(\"5s\")", &[]).unwrap_err();
    assert!(unasked.hint.as_deref().unwrap().starts_with("write `wait: false`"), "{:?}", unasked.hint);
    let no_list = run("let a = #{}; a.seen.push(1)", &[]).unwrap_err();
    assert!(no_list.hint.as_deref().unwrap().contains("`state.seen = (state.seen ?? []) + [x]`"), "{:?}", no_list.hint);
    for part in ["[1, 2][1..]", "[1, 2][0..=1]"] {
        let part = run(part, &[]).unwrap_err();
        assert_eq!(part.text, "int is wanted here, not range");
        assert!(part.hint.as_deref().unwrap().contains("`list.extract(1..3)`"), "{:?}", part.hint);
    }
    let own = run("int(\"5\")", &[]).unwrap_err();
    assert!(own.hint.as_deref().unwrap().contains("`parse_int(text)`"), "{:?}", own.hint);
    assert_eq!(run("let f = 3; f.call(1)", &[]).unwrap_err().text, "function is wanted here, not int");
    assert_eq!(run("let a = (); a[0]", &[]).unwrap_err().text, "`()` has nothing to find with [int]");
    assert_eq!(run("let a = 5; a.b = 3", &[]).unwrap_err().text, "`int` has no property `b` that can be set");
    let missing = run("let a = #{}; a.b.c", &[]).unwrap_err();
    assert_eq!(missing.to_string(), "t.rhai:1:18: `()` has no property `c`");
    assert!(missing.hint.unwrap().contains("write `?.c`"));
    let wrong = run("emit((), 1)", &[]).unwrap_err();
    assert_eq!(wrong.text, "there is no `emit` for ((), int)");
    assert!(wrong.hint.as_deref().unwrap().contains("`emit(name: string, data: any)`"), "{:?}", wrong.hint);
    let hint = |text| load_all(&[("t.rhai", text)], &Purpose::Handlers).err().unwrap()[0].hint.clone().unwrap();
    assert_eq!(hint("evry(1)"), "did you mean `every(interval, [#{ options },] |tick| …)`?");
    assert_eq!(hint("prnt(1)"), "did you mean `print()` or `print(item)` or `print(message, fields)`?");
    assert_eq!(run("\"a\".len + [].trim()", &[]).unwrap_err().text, "there is no `trim` for (array)");
    assert_eq!(
        faults("cron(")[0],
        "t.rhai:1:6: expecting ')' to close the arguments list of this function call 'cron'"
    );
    let private = [("t.rhai", "import \"m\" as m; m::hidden()"), ("m.rhai", "private fn hidden() { 1 }")];
    let found = load_all(&private, &Purpose::Handlers).err().unwrap();
    assert_eq!(found[0].to_string(), "t.rhai:1:21: `m.rhai` has no public function `hidden`");
}
