//! Declared handlers and jobs.

use super::*;

#[test]
fn a_script_declares_handlers_that_can_be_called() {
    let script = load(
        r#"//! A short description.
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
    assert_eq!(script.docs, "A short description.");
    let names: Vec<_> = script.declarations.iter().map(|declared| declared.policy.name.clone().unwrap()).collect();
    assert_eq!(names, ["wake a", "wake a #2", "wake b", "wake c"]);
    let payload = [("n", Value::Int(21))];
    assert_eq!(call(&script, 0, &payload).unwrap(), Value::from("freezer true 42"));
    assert_eq!(call(&script, 1, &payload).unwrap(), Value::Int(20));
    assert_eq!(call(&script, 2, &payload).unwrap(), Value::Int(41));
    assert_eq!(call(&script, 3, &payload).unwrap_err().text, "`*` does not work on map and int");
}

#[test]
fn a_handler_closure_can_also_be_called_by_the_script() {
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
fn a_handler_captures_the_variables_that_are_visible_at_its_declaration() {
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
fn a_job_runs_with_its_arguments() {
    let done = run("#!/usr/bin/env -S rhaid exec\nconst N = 2; fn f(x) { x * N } f(args.len())", &["a", "b"]).unwrap();
    assert_eq!(done, JobResult { value: Value::Int(4), code: 0 });
    assert_eq!(run("fn f() { exit(3) } f(); 5", &[]).unwrap().code, 3);
    let seen = run("fn f() { args[0] } [1].map(|x| args[0] + f() + event)[0]", &["a"]).unwrap();
    assert_eq!(seen.value, Value::from("aa"));
}
