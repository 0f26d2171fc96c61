//! Faults and hints.

use super::*;

#[test]
fn a_fault_has_its_location_and_call_stack() {
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
fn every_invalid_declaration_is_a_fault_at_its_position() {
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
            "t.rhai:4:1: the last argument must be the handler: write wake(what, [#{ options },] |note| …)",
            "t.rhai:6:14: another trigger of this script is named `x`",
            "t.rhai:7:1: the handler takes at most one argument, the event",
        ]
    );
}

#[test]
fn unknown_names_are_found_at_load() {
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
            "t.rhai:4:10: functions cannot use the variable `loose` of the top level",
            "t.rhai:6:16: unknown function `pirnt`",
            "t.rhai:6:29: no function `f` takes 2 arguments",
            "t.rhai:7:25: unknown variable `nothing`",
            "t.rhai:9:15: unknown function `lenn`",
            "t.rhai:10:28: `LATER` is used before its definition in line 12",
            "t.rhai:13:1: no module is imported as `lib`",
        ]
    );
}

#[test]
fn hints_name_the_most_similar_function() {
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
fn assigning_to_a_captured_variable_is_a_fault_with_a_hint_to_state() {
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
        found[0].ends_with("`count` is captured, and captured variables are constants: each run starts with a copy")
    );
}

#[test]
fn values_that_nest_too_deeply_are_rejected_at_load() {
    let deep = "let c = (); for i in 0..5000 { let p = c; c = || p; } ";
    let constant = [deep, "const DEEP = c; fn f() { 1 }"].concat().leak();
    assert_eq!(faults(constant), ["t.rhai: the constant `DEEP` nests deeper than 128 levels"]);
    let captured = [deep, "\nwake(\"a\", || c);"].concat().leak();
    assert_eq!(faults(captured), ["t.rhai:2:1: a value that the handler captures nests deeper than 128 levels"]);
    let files = [("t.rhai", "import \"m\" as m;"), ("m.rhai", constant)];
    let found = load_all(&files, &Purpose::Handlers).err().unwrap();
    assert_eq!(found[0].to_string(), "m.rhai: the constant `DEEP` nests deeper than 128 levels");
}

#[test]
fn common_mistakes_get_plain_messages_and_hints() {
    assert_eq!(faults("state = 5;"), ["t.rhai:1:1: `state` itself cannot be replaced"]);
    assert_eq!(faults("wake(\"a\", || { state = #{} });"), ["t.rhai:1:16: `state` itself cannot be replaced"]);
    let called = load_all(&[("t.rhai", "let f = |x| x; f(1);")], &Purpose::Handlers).err().unwrap();
    assert_eq!(called[0].hint.as_deref(), Some("`f` is a variable: write `f.call(…)`"));
    let script = load("let list = [1]; wake(\"a\", || { let f = |l| l.push(2); f.call(list); list.len() });");
    assert_eq!(call(&script, 0, &[]).unwrap(), Value::Int(1));
    assert_eq!(call(&script, 0, &[]).unwrap(), Value::Int(1), "each run starts with a copy");
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
        assert_eq!(part.text, "expected int, found range");
        assert!(part.hint.as_deref().unwrap().contains("`list.extract(1..3)`"), "{:?}", part.hint);
    }
    let own = run("int(\"5\")", &[]).unwrap_err();
    assert!(own.hint.as_deref().unwrap().contains("`parse_int(text)`"), "{:?}", own.hint);
    assert_eq!(run("let f = 3; f.call(1)", &[]).unwrap_err().text, "expected function, found int");
    assert_eq!(run("let a = (); a[0]", &[]).unwrap_err().text, "`()` cannot be indexed with [int]");
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
