//! `rhaid lsp` with real editors: Neovim with its own client, Emacs with Eglot. Each opens a script with a fault, is told, repairs it,
//! asks what can be written and what a name means, and goes to where a function of a module is written.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::Home;

const SCRIPT: &str = "import \"_lib/units\" as units;
every(\"1m\", || { let s = \"ü🚪\"; http_gett(`${units::fahrenheit(20)} ${s}`) });
mqtt_subscribe(\"door\", |msg| print(msg.payload));
";

/// Runs an editor in a folder of its own; returns what it has seen.
fn seen(program: &str, arguments: &[&str]) -> Value {
    let home = Home::new(&[("a.rhai", SCRIPT)]);
    std::fs::create_dir(home.script("_lib")).unwrap();
    std::fs::write(
        home.script("_lib/units.rhai"),
        "// Temperatures.\nfn fahrenheit(celsius) { celsius * 1.8 + 32.0 }\n",
    )
    .unwrap();
    let written = home.path().join("seen.json");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(home.path()).stdin(Stdio::null());
    // Nothing of whoever runs this.
    command.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path()).env("XDG_STATE_HOME", home.path());
    command.env("RHAID", env!("CARGO_BIN_EXE_rhaid")).env("SEEN", &written).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap_or_else(|why| panic!("{program}: {why}; .ci/run installs it"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(written).unwrap_or_else(|why| panic!("{program} wrote nothing ({why}): {said}"));
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert!(seen["why"].is_null(), "{program}: {seen}\n{said}");
    assert_eq!((&seen["cleared"], &seen["stopped"]), (&json!(true), &json!(true)), "{program}: {seen}\n{said}");
    let labels: Vec<_> =
        seen["completion"].as_array().unwrap().iter().filter_map(Value::as_str).map(str::trim).collect();
    assert!(labels.contains(&"payload") && labels.contains(&"topic") && !labels.contains(&"cron"), "{labels:?}");
    seen
}

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/editors").join(name).display().to_string()
}

#[test]
fn neovim_shows_what_is_wrong_completes_explains_and_goes_there() {
    let seen = seen("nvim", &["--headless", "-u", "NONE", "-n", "-c", &format!("luafile {}", file("neovim.lua"))]);
    let found = &seen["diagnostics"][0];
    assert!(found["text"].as_str().unwrap().starts_with("unknown function `http_gett`"), "{seen}");
    // Neovim counts bytes: ü has two, the door four.
    let at = SCRIPT.lines().nth(1).unwrap().find("http_gett").unwrap();
    assert_eq!((&found["line"], &found["from"], &found["to"]), (&json!(1), &json!(at), &json!(at + 9)));
    assert_eq!(found["severity"], 1);
    assert!(seen["hover"].as_str().unwrap().contains("Wakes the handler on each message"), "{seen}");
    assert_eq!((&seen["jumped"], &seen["cursor"]), (&json!(true), &json!([2, 3])));
}

#[test]
fn emacs_shows_what_is_wrong_completes_explains_and_goes_there() {
    let seen = seen("emacs", &["--batch", "-l", &file("emacs.el")]);
    let found = &seen["diagnostics"][0];
    assert!(found["text"].as_str().unwrap().contains("unknown function `http_gett`"), "{seen}");
    assert_eq!(found["at"], "http_gett");
    assert!(seen["hover"].as_str().unwrap().contains("Wakes the handler on each message"), "{seen}");
    let definition = seen["definition"].as_str().unwrap();
    assert!(definition.ends_with("_lib/units.rhai:2"), "{seen}");
}
