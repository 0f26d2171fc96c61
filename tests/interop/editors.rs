//! `rhaid lsp` with real editors: Neovim with its built-in client, Emacs with Eglot. Each opens a script with a fault, gets the diagnostic,
//! fixes the fault, requests completion and hover, and goes to the definition of a module's function.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::Home;

const SCRIPT: &str = "import \"_lib/units\" as units;
every(\"1m\", || { let s = \"ü🚪\"; http_gett(`${units::fahrenheit(20)} ${s}`) });
mqtt_subscribe(\"door\", |msg| print(msg.payload));
";

/// Runs an editor in a temporary folder; returns the results that it wrote.
fn results(program: &str, arguments: &[&str]) -> Value {
    let home = Home::new(&[("a.rhai", SCRIPT)]);
    std::fs::create_dir(home.script("_lib")).unwrap();
    std::fs::write(
        home.script("_lib/units.rhai"),
        "// Temperatures.\nfn fahrenheit(celsius) { celsius * 1.8 + 32.0 }\n",
    )
    .unwrap();
    let written = home.path().join("results.json");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(home.path()).stdin(Stdio::null());
    // Ignores the user's own editor settings.
    command.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path()).env("XDG_STATE_HOME", home.path());
    command.env("RHAID", env!("CARGO_BIN_EXE_rhaid")).env("RESULTS", &written).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap_or_else(|why| panic!("{program}: {why}; .ci/run installs it"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let text =
        std::fs::read_to_string(written).unwrap_or_else(|why| panic!("{program} wrote nothing ({why}): {stderr}"));
    let results: Value = serde_json::from_str(&text).unwrap();
    assert!(results["why"].is_null(), "{program}: {results}\n{stderr}");
    assert_eq!(
        (&results["cleared"], &results["stopped"]),
        (&json!(true), &json!(true)),
        "{program}: {results}\n{stderr}"
    );
    let labels: Vec<_> =
        results["completion"].as_array().unwrap().iter().filter_map(Value::as_str).map(str::trim).collect();
    assert!(labels.contains(&"payload") && labels.contains(&"topic") && !labels.contains(&"cron"), "{labels:?}");
    results
}

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/editors").join(name).display().to_string()
}

#[test]
fn neovim_gets_diagnostics_completion_hover_and_definition() {
    let results =
        results("nvim", &["--headless", "-u", "NONE", "-n", "-c", &format!("luafile {}", file("neovim.lua"))]);
    let found = &results["diagnostics"][0];
    assert!(found["text"].as_str().unwrap().starts_with("unknown function `http_gett`"), "{results}");
    // Neovim counts bytes: ü has two, the emoji four.
    let at = SCRIPT.lines().nth(1).unwrap().find("http_gett").unwrap();
    assert_eq!((&found["line"], &found["from"], &found["to"]), (&json!(1), &json!(at), &json!(at + 9)));
    assert_eq!(found["severity"], 1);
    assert!(results["hover"].as_str().unwrap().contains("Wakes the handler on each message"), "{results}");
    assert_eq!((&results["jumped"], &results["cursor"]), (&json!(true), &json!([2, 3])));
}

#[test]
fn emacs_gets_diagnostics_completion_hover_and_definition() {
    let results = results("emacs", &["--batch", "-l", &file("emacs.el")]);
    let found = &results["diagnostics"][0];
    assert!(found["text"].as_str().unwrap().contains("unknown function `http_gett`"), "{results}");
    assert_eq!(found["at"], "http_gett");
    assert!(results["hover"].as_str().unwrap().contains("Wakes the handler on each message"), "{results}");
    let definition = results["definition"].as_str().unwrap();
    assert!(definition.ends_with("_lib/units.rhai:2"), "{results}");
}
