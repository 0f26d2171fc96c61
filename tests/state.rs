//! State from the command line: shown, edited, exported, imported and backed up, with and without a running process.

use std::fs;

use crate::program::{Program, text};

const COUNTER: &str = r#"
    on_event("count", || { state.add("n", 1); state.n });
    on_event("look", || `${state.n} ${type_of(state.n)} ${shared("house").mode}`);
    on_event("fill", || {
        state.n = 7;
        state.since = datetime("2026-03-29T03:00:00+02:00[Europe/Berlin]");
        state.raw = hex_decode("00ff");
        let house = shared("house");
        house.mode = "home";
    });
"#;

fn program() -> Program {
    let program = Program::empty();
    program.write("scripts/counter.rhai", COUNTER);
    program
}

fn fire(program: &Program, event: &str) -> String {
    program.run(&["fire", "counter", &format!("on_event {event}")])
}

#[test]
fn a_running_script_reads_an_edited_value_at_once() {
    let mut program = program();
    program.start();
    assert_eq!(fire(&program, "count"), "succeeded\n1\n");
    assert_eq!(program.run(&["state", "show", "counter", "n"]), "1\n");
    assert_eq!(program.run(&["state", "set", "counter", "n", "41.0"]), "set n of counter\n");
    program.run(&["state", "set", "shared:house", "mode", "\"away\""]);
    assert_eq!(fire(&program, "look"), "succeeded\n41.0 f64 away\n");
    program.wait_for("counter: its state was edited manually");
    let list = program.run(&["state", "list"]);
    assert!(list.starts_with("NAMESPACE") && list.contains("counter") && list.contains("shared:house"), "{list}");
    assert_eq!(program.run(&["state", "delete", "counter", "n"]), "deleted n of counter\n");
    assert_eq!(fire(&program, "count"), "succeeded\n1\n");
}

#[test]
fn mistakes_are_reported_and_change_nothing() {
    let mut program = program();
    program.start();
    fire(&program, "fill");
    for (arguments, code, words) in [
        (&["state", "set", "counter", "n", "away"][..], 2, "text needs double quotes: '\"away\"'"),
        (&["state", "set", "counter", "n", "null"], 2, "use `rhaid state delete` to delete a value"),
        (&["state", "show", "conter"], 1, "`conter` has no state: did you mean `counter`?"),
        (&["state", "show", "counter", "sinse"], 1, "has no value `sinse`: did you mean `since`?"),
        (&["state", "delete", "counter", "n", "m"], 1, "has no value `m`"),
        (&["state", "delete", "counter"], 2, "<KEYS>"),
        (&["state", "import", "rhaid.yaml"], 2, "see `rhaid state export` for the format"),
        (&["state", "import", "plain.json"], 2, "write \"script:counter\" or \"shared:counter\""),
        (&["state", "set", "counter", &"k".repeat(2_000), "1"], 1, "a key can have at most 1024 bytes"),
    ] {
        program.write("rhaid.yaml", "log: { level: info }");
        program.write("plain.json", r#"{ "counter": { "n": 1 } }"#);
        let output = program.rhaid(arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.contains(words)), (Some(code), true), "{arguments:?}: {stderr}");
    }
    assert_eq!(fire(&program, "look"), "succeeded\n7 i64 home\n");
}

#[test]
fn an_export_is_imported_with_its_types_with_and_without_a_running_process() {
    let mut program = program();
    program.start();
    fire(&program, "fill");
    let exported = program.run(&["state", "export"]);
    program.stop();
    assert_eq!(program.run(&["state", "export"]), exported);
    let json: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(json["script:counter"]["since"]["$time"], "2026-03-29T03:00:00+02:00[Europe/Berlin]");
    assert_eq!(
        (&json["script:counter"]["raw"]["$bytes"], &json["shared:house"]["mode"]),
        (&"AP8=".into(), &"home".into())
    );

    program.run(&["state", "set", "counter", "more", "[1, 2]"]);
    program.run(&["state", "delete", "shared:house", "--all"]);
    program.write("state.json", &exported);
    assert_eq!(program.run(&["state", "import", "state.json"]), "imported 4 values\n");
    assert_eq!(program.run(&["state", "show", "counter", "more"]).split_whitespace().collect::<String>(), "[1,2]");
    program.start();
    program.run(&["state", "import", "state.json", "--replace"]);
    assert_eq!(program.run(&["state", "export"]), exported);
    let shown = program.run(&["state", "show", "counter", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json["script:counter"]);
}

#[test]
fn an_online_backup_is_restored_as_the_help_describes() {
    let mut program = program();
    program.start();
    fire(&program, "fill");
    program.run(&["disable", "counter"]);
    let output = program.run(&["backup", "copy.db"]);
    assert!(output.starts_with("wrote copy.db ("), "{output}");
    program.run(&["enable", "counter"]);
    fire(&program, "count");
    program.stop();
    fs::create_dir(program.path("old")).unwrap();
    for name in ["rhaid.db", "rhaid.db-wal", "rhaid.db-shm"] {
        if program.path(&format!(".rhaid/{name}")).exists() {
            fs::rename(program.path(&format!(".rhaid/{name}")), program.path(&format!("old/{name}"))).unwrap();
        }
    }
    fs::copy(program.path("copy.db"), program.path(".rhaid/rhaid.db")).unwrap();
    program.start();
    assert!(program.run(&["list"]).contains("disabled"));
    program.run(&["enable", "counter"]);
    assert_eq!(fire(&program, "look"), "succeeded\n7 i64 home\n");
    assert!(program.run(&["runs"]).contains("on_event fill") || program.run(&["runs"]).contains("fired manually"));
}
