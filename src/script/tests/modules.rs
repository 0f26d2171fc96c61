//! Imports of modules.

use super::*;

#[test]
fn scripts_on_one_thread_import_only_their_own_modules() {
    let read = r#"fn read() { import "_lib/a" as it; it::NAME } wake("a", || read());"#;
    let files = |module| [("t.rhai", read), ("_lib/a.rhai", module)];
    let one = load_all(&files("export const NAME = 1;"), &Purpose::Handlers).ok().unwrap();
    let two = load_all(&files("export const NAME = 2;"), &Purpose::Handlers).ok().unwrap();
    let both = within_limits(|| Ok([&one, &two, &one].map(|script| script.invoke(0, &Map::new().into()).unwrap())));
    assert_eq!(both.unwrap(), [1, 2, 1].map(Value::Int));
}

#[test]
fn module_functions_work_in_handlers() {
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
fn import_faults_point_at_the_import() {
    let wrong = |files: &[(&'static str, &'static str)]| -> Vec<String> {
        load_all(files, &Purpose::Handlers).err().unwrap_or_default().iter().map(Fault::to_string).collect()
    };
    assert_eq!(wrong(&[("t.rhai", "import \"gone\" as x;")]), ["t.rhai:1:8: there is no file gone.rhai"]);
    let out = wrong(&[("t.rhai", "fn f() { import \"../x\" as x; }")]);
    assert_eq!(out, ["t.rhai:1:17: \"../x\" leads out of the scripts folder, where modules must be"]);
    assert!(wrong(&[("t.rhai", "import \"/etc/x\" as x;")])[0].contains("is not a module path"));
    assert!(
        wrong(&[("t.rhai", "let a = \"x\"; import a as x;")])[0]
            .starts_with("t.rhai:1:21: an import path must be a plain text")
    );
    let circle = wrong(&[("a.rhai", "import \"b\" as b;"), ("b.rhai", "import \"a\" as a;")]);
    assert_eq!(circle, ["b.rhai:1:8: circular import: a.rhai -> b.rhai -> a.rhai"]);
    let declares = wrong(&[("t.rhai", "import \"m\" as m;"), ("m.rhai", "wake(\"a\", || 1);")]);
    assert_eq!(declares, ["m.rhai:1:1: a module cannot declare triggers: call `wake` in the script that imports it"]);
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
