//! `rhaid new` and `rhaid init`: written files pass every check, and existing files are never overwritten.

use std::fs;

use serde_json::Value as Json;

use crate::program::{Program, text};

/// Settings of rhaid.yaml that the templates need.
const NEEDS: &str =
    "location: { latitude: 59.91, longitude: 10.75 }\npermissions:\n  \"garden/watch-file\": { read: [./inbox] }\n";

/// Returns the names of the templates, as `rhaid new --list` shows them.
fn templates(program: &Program) -> Vec<String> {
    let listed = program.run(&["new", "--list"]);
    assert!(!listed.contains('@'), "{listed}");
    listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// Returns a program with a script of each template.
fn with_all_templates() -> Program {
    let program = Program::empty();
    program.write("rhaid.yaml", NEEDS);
    for template in templates(&program) {
        let name = format!("garden/{template}");
        let output = program.run(&["new", &name, "--template", &template]);
        for file in [format!("scripts/{name}.rhai"), format!("scripts/{name}_test.rhai")] {
            assert!(output.contains(&format!("wrote {file}\n")), "{output}");
            let text = fs::read_to_string(program.path(&file)).unwrap();
            assert!(!text.contains('@'), "{file}: {text}");
        }
        assert!(output.contains(&format!("rhaid test scripts/{name}_test.rhai\n")), "{output}");
    }
    program
}

#[test]
fn every_template_passes_the_check_without_a_warning() {
    let program = with_all_templates();
    let known = templates(&program);
    assert!(known.len() >= 10 && known.contains(&"motion-light".into()), "{known:?}");
    let checked: Json = serde_json::from_str(&program.run(&["check", "--strict", "--format", "json"])).unwrap();
    assert_eq!(checked["warnings"], serde_json::json!([]));
    let scripts = checked["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), known.len(), "a test is listed as a script: {scripts:?}");
    for script in scripts {
        assert!(!script["triggers"].as_array().unwrap().is_empty(), "{script} declares no trigger");
        assert!(!script["docs"].as_str().unwrap().is_empty(), "{script} has no description");
    }
}

#[test]
fn a_template_that_needs_config_prints_it() {
    let program = Program::empty();
    let output = program.run(&["new", "in", "-t", "watch-file"]);
    let needs = "permissions:\n  \"in\": { read: [./inbox] }\n";
    assert!(output.contains(needs), "{output}");
    assert_eq!(program.rhaid(&["check"]).status.code(), Some(1));
    program.write("rhaid.yaml", needs);
    program.run(&["check", "--strict"]);
}

#[test]
fn existing_files_are_never_overwritten() {
    let program = Program::empty();
    program.write("scripts/porch.rhai", "mine");
    program.write("scripts/hall_test.rhai", "mine too");
    for (name, file) in [("porch", "scripts/porch.rhai"), ("hall", "scripts/hall_test.rhai")] {
        let output = program.rhaid(&["new", name]);
        assert_eq!(output.status.code(), Some(1));
        let words = format!("rhaid: {file} exists already: choose another name, or remove it\n");
        assert_eq!(text(&output.stderr), words);
    }
    assert_eq!(fs::read_to_string(program.path("scripts/porch.rhai")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(program.path("scripts/hall_test.rhai")).unwrap(), "mine too");
    let all: Vec<_> = fs::read_dir(program.path("scripts")).unwrap().collect();
    assert_eq!(all.len(), 2, "another file was written: {all:?}");
}

#[test]
fn a_bad_name_or_template_is_refused_with_a_suggestion() {
    let program = Program::empty();
    for (arguments, words) in [
        (&["new", "my porch"][..], "write `my-porch`"),
        (&["new", "../porch"], "leads out of the scripts folder; write `porch`"),
        (&["new", "_porch"], "write `porch`"),
        (&["new", "porch_test"], "write `porch`"),
        (&["new", "scripts/porch.rhai"], "write `porch`"),
        (&["new", "porch", "-t", "motion-lamp"], "there is no template `motion-lamp`: did you mean `motion-light`?"),
        (&["new", "porch", "-t", "x"], "see `rhaid new --list`"),
        (&["new"], "<NAME>"),
    ] {
        let output = program.rhaid(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(!program.path("scripts").exists(), "a file was written");
}

#[test]
fn a_new_script_is_written_to_the_configured_folder_and_becomes_active() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "scripts: automations\n");
    fs::create_dir(program.path("automations")).unwrap();
    program.start();
    let output = program.run(&["new", "porch.rhai"]);
    assert!(output.contains("wrote automations/porch.rhai\n"), "{output}");
    program.wait_for("porch: ");
    // The script is active a little before the broker has its subscription.
    let alarm = (0..30).any(|_| {
        program.eval("mqtt_publish(\"porch/temperature\", \"30\", #{ qos: 1 })");
        let last = "mqtt_receive(\"porch/alarm\", #{ retained: true, timeout: \"1s\" }).payload";
        text(&program.rhaid(&["eval", last]).stdout).trim() == "on"
    });
    assert!(alarm);
    let list: Json = serde_json::from_str(&program.run(&["list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "a test is listed as a script: {list}");
}

#[test]
fn the_test_of_every_template_passes() {
    let program = with_all_templates();
    let output = program.run(&["test"]);
    assert!(!output.contains("FAIL") && output.contains(" passed"), "{output}");
}

/// Parses a file of the folder as JSON.
fn json(program: &Program, file: &str) -> Json {
    serde_json::from_str(&fs::read_to_string(program.path(file)).unwrap()).unwrap()
}

#[test]
fn init_writes_a_valid_config_and_keeps_existing_files() {
    let program = Program::empty();
    program.write(".gitignore", "mine\n");
    program.write(".vscode/settings.json", "{}");
    let output = program.run(&["init"]);
    for line in [
        "wrote ./rhaid.yaml\n",
        "wrote ./scripts/hello_test.rhai\n",
        "kept  ./.gitignore\n",
        "wrote ./rhaid.schema.json ./definitions/rhaid.d.rhai ./.vscode/extensions.json ./.helix/languages.toml\n",
        "kept  ./.vscode/settings.json\n",
        "\nNow run: rhaid\n",
    ] {
        assert!(output.contains(line), "{line:?} in\n{output}");
    }
    assert_eq!(fs::read_to_string(program.path(".gitignore")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(program.path(".vscode/settings.json")).unwrap(), "{}");
    assert!(program.run(&["check", "--strict"]).contains("1 script, 2 triggers, no faults\n"));
    let again = program.run(&["init"]);
    assert!(!again.contains("wrote"), "{again}");
}

#[test]
fn init_writes_the_same_editor_files_that_the_commands_print() {
    let program = Program::empty();
    assert!(program.run(&["init", "deep/home"]).contains("Now run: cd deep/home && rhaid\n"));
    program.run(&["definitions", "own"]);
    let read = |file: &str| fs::read_to_string(program.path(file)).unwrap();
    assert_eq!(read("deep/home/definitions/rhaid.d.rhai"), read("own/rhaid.d.rhai"));
    assert_eq!(
        json(&program, "deep/home/rhaid.schema.json"),
        serde_json::from_str::<Json>(&program.run(&["schema"])).unwrap()
    );
    let settings = json(&program, "deep/home/.vscode/settings.json");
    for schema in settings["yaml.schemas"].as_object().unwrap().keys() {
        assert!(program.path("deep/home").join(schema).is_file(), "there is no {schema}");
    }
    assert!(json(&program, "deep/home/.vscode/extensions.json")["recommendations"].as_array().unwrap().len() > 1);
    let line = read("deep/home/.helix/languages.toml");
    let (command, arguments) = (&settings["glspc.server.command"], &settings["glspc.server.commandArguments"]);
    assert!(line.contains(&format!("command = {command}\nargs = {arguments}\n")), "{line}");
}

#[test]
fn the_test_that_init_writes_passes() {
    let program = Program::empty();
    program.run(&["init"]);
    let output = program.run(&["test"]);
    assert!(output.contains("2 passed"), "{output}");
}
