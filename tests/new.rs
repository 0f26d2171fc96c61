//! `rhaid new` and `rhaid init`: what they write passes every check, and nothing that is there is written over.

use std::fs;

use serde_json::Value as Json;

use crate::program::{Program, text};

/// What the templates need that rhaid.yaml must say.
const NEEDS: &str =
    "location: { latitude: 59.91, longitude: 10.75 }\npermissions:\n  \"garden/watch-file\": { read: [./inbox] }\n";

/// Returns the names of the templates, as `rhaid new --list` shows them.
fn templates(program: &Program) -> Vec<String> {
    let listed = program.run(&["new", "--list"]);
    assert!(!listed.contains('@'), "{listed}");
    listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// A house with a script of each template.
fn furnished() -> Program {
    let program = Program::empty();
    program.write("rhaid.yaml", NEEDS);
    for template in templates(&program) {
        let name = format!("garden/{template}");
        let said = program.run(&["new", &name, "--template", &template]);
        for file in [format!("scripts/{name}.rhai"), format!("scripts/{name}_test.rhai")] {
            assert!(said.contains(&format!("wrote {file}\n")), "{said}");
            let text = fs::read_to_string(program.path(&file)).unwrap();
            assert!(!text.contains('@'), "{file}: {text}");
        }
        assert!(said.contains(&format!("rhaid test scripts/{name}_test.rhai\n")), "{said}");
    }
    program
}

#[test]
fn every_template_passes_the_check_without_a_warning() {
    let program = furnished();
    let known = templates(&program);
    assert!(known.len() >= 10 && known.contains(&"motion-light".into()), "{known:?}");
    let checked: Json = serde_json::from_str(&program.run(&["check", "--strict", "--format", "json"])).unwrap();
    assert_eq!(checked["warnings"], serde_json::json!([]));
    let scripts = checked["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), known.len(), "a test is taken for a script: {scripts:?}");
    for script in scripts {
        assert!(!script["triggers"].as_array().unwrap().is_empty(), "{script} declares nothing");
        assert!(!script["docs"].as_str().unwrap().is_empty(), "{script} does not say what it does");
    }
}

#[test]
fn a_template_that_needs_something_of_the_config_says_so() {
    let program = Program::empty();
    let said = program.run(&["new", "in", "-t", "watch-file"]);
    let needs = "permissions:\n  \"in\": { read: [./inbox] }\n";
    assert!(said.contains(needs), "{said}");
    assert_eq!(program.rhaid(&["check"]).status.code(), Some(1));
    program.write("rhaid.yaml", needs);
    program.run(&["check", "--strict"]);
}

#[test]
fn what_is_there_is_never_written_over() {
    let program = Program::empty();
    program.write("scripts/porch.rhai", "mine");
    program.write("scripts/hall_test.rhai", "mine too");
    for (name, file) in [("porch", "scripts/porch.rhai"), ("hall", "scripts/hall_test.rhai")] {
        let output = program.rhaid(&["new", name]);
        assert_eq!(output.status.code(), Some(1));
        let words = format!("rhaid: {file} is there already: choose another name, or move it away\n");
        assert_eq!(text(&output.stderr), words);
    }
    assert_eq!(fs::read_to_string(program.path("scripts/porch.rhai")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(program.path("scripts/hall_test.rhai")).unwrap(), "mine too");
    let all: Vec<_> = fs::read_dir(program.path("scripts")).unwrap().collect();
    assert_eq!(all.len(), 2, "something else was written: {all:?}");
}

#[test]
fn a_bad_name_or_template_is_refused_with_what_to_write() {
    let program = Program::empty();
    for (arguments, words) in [
        (&["new", "my porch"][..], "write `my-porch`"),
        (&["new", "../porch"], "leads out of the scripts folder; write `porch`"),
        (&["new", "_porch"], "write `porch`"),
        (&["new", "porch_test"], "write `porch`"),
        (&["new", "scripts/porch.rhai"], "write `porch`"),
        (&["new", "porch", "-t", "motion-lamp"], "there is no template `motion-lamp`: did you mean `motion-light`?"),
        (&["new", "porch", "-t", "x"], "`rhaid new --list` shows them"),
        (&["new"], "<NAME>"),
    ] {
        let output = program.rhaid(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(!program.path("scripts").exists(), "something was written");
}

#[test]
fn a_new_script_goes_into_the_folder_that_the_config_names_and_comes_to_life() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "scripts: automations\n");
    fs::create_dir(program.path("automations")).unwrap();
    program.start();
    let said = program.run(&["new", "porch.rhai"]);
    assert!(said.contains("wrote automations/porch.rhai\n"), "{said}");
    program.wait_for("porch: ");
    // It lives a little before the broker knows what it wants to hear.
    let alarm = (0..30).any(|_| {
        program.eval("mqtt_publish(\"porch/temperature\", \"30\", #{ qos: 1 })");
        let last = "mqtt_receive(\"porch/alarm\", #{ retained: true, timeout: \"1s\" }).payload";
        text(&program.rhaid(&["eval", last]).stdout).trim() == "on"
    });
    assert!(alarm);
    let list: Json = serde_json::from_str(&program.run(&["list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "a test lives: {list}");
}

#[test]
fn the_test_of_every_template_passes() {
    let program = furnished();
    let said = program.run(&["test"]);
    assert!(!said.contains("FAIL") && said.contains(" passed"), "{said}");
}

/// Returns a file of the house as JSON.
fn json(program: &Program, file: &str) -> Json {
    serde_json::from_str(&fs::read_to_string(program.path(file)).unwrap()).unwrap()
}

#[test]
fn init_writes_a_config_that_passes_and_keeps_what_is_there() {
    let program = Program::empty();
    program.write(".gitignore", "mine\n");
    program.write(".vscode/settings.json", "{}");
    let output = program.run(&["init"]);
    for said in [
        "wrote ./rhaid.yaml\n",
        "wrote ./scripts/hello_test.rhai\n",
        "kept  ./.gitignore\n",
        "wrote ./rhaid.schema.json ./definitions/rhaid.d.rhai ./.vscode/extensions.json ./.helix/languages.toml\n",
        "kept  ./.vscode/settings.json\n",
        "\nNow run: rhaid\n",
    ] {
        assert!(output.contains(said), "{said:?} in\n{output}");
    }
    assert_eq!(fs::read_to_string(program.path(".gitignore")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(program.path(".vscode/settings.json")).unwrap(), "{}");
    assert!(program.run(&["check", "--strict"]).contains("1 script, 2 triggers, no faults\n"));
    let again = program.run(&["init"]);
    assert!(!again.contains("wrote"), "{again}");
}

#[test]
fn what_init_writes_for_editors_is_what_the_commands_print() {
    let program = Program::empty();
    assert!(program.run(&["init", "deep/house"]).contains("Now run: cd deep/house && rhaid\n"));
    program.run(&["definitions", "own"]);
    let read = |file: &str| fs::read_to_string(program.path(file)).unwrap();
    assert_eq!(read("deep/house/definitions/rhaid.d.rhai"), read("own/rhaid.d.rhai"));
    assert_eq!(
        json(&program, "deep/house/rhaid.schema.json"),
        serde_json::from_str::<Json>(&program.run(&["schema"])).unwrap()
    );
    let settings = json(&program, "deep/house/.vscode/settings.json");
    for schema in settings["yaml.schemas"].as_object().unwrap().keys() {
        assert!(program.path("deep/house").join(schema).is_file(), "there is no {schema}");
    }
    assert!(json(&program, "deep/house/.vscode/extensions.json")["recommendations"].as_array().unwrap().len() > 1);
    let line = read("deep/house/.helix/languages.toml");
    let (command, arguments) = (&settings["glspc.server.command"], &settings["glspc.server.commandArguments"]);
    assert!(line.contains(&format!("command = {command}\nargs = {arguments}\n")), "{line}");
}

#[test]
fn the_test_that_init_writes_passes() {
    let program = Program::empty();
    program.run(&["init"]);
    let said = program.run(&["test"]);
    assert!(said.contains("2 passed"), "{said}");
}
