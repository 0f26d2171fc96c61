//! `rhaid.yaml` through the front door.

use std::path::Path;
use std::process::{Command, Output};

fn rhaid(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RHAID_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a folder with an empty scripts folder and this config.
fn house(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    std::fs::write(folder.path().join("rhaid.yaml"), config).unwrap();
    folder
}

#[test]
fn check_prints_all_faults_of_the_config_for_editors() {
    let house = house("limits:\n  timeuot: 3s\n  queue: none\ndata: ${NOT_SET_ANYWHERE}\n");
    let output = rhaid(house.path(), &["check", "--format", "compact"], &[]);
    assert_eq!(
        text(&output.stdout),
        "rhaid.yaml:2:3: unknown key `limits.timeuot`: did you mean `limits.timeout`?\n\
         rhaid.yaml:3:10: `limits.queue`: \"none\" does not fit: write a whole number from 1 to 1000000\n\
         rhaid.yaml:4:7: the variable `NOT_SET_ANYWHERE` is not set: set it, or write a default as `${NOT_SET_ANYWHERE:-…}`\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_broken_config_ends_the_start_with_every_fault() {
    let house = house("web:\n  listen: nowhere\nlogs: {}\n");
    let output = rhaid(house.path(), &["run"], &[]);
    let said = text(&output.stderr);
    assert!(said.contains("rhaid.yaml:2:11: `web.listen`: \"nowhere\" is no address"), "{said}");
    assert!(said.contains("2 |   listen: nowhere"), "{said}");
    assert!(said.contains("rhaid.yaml:3:1: unknown key `logs`: did you mean `log`?"), "{said}");
    assert!(!output.status.success());
    assert!(!house.path().join(".rhaid").exists(), "nothing is started");
}

#[test]
fn a_wrong_variable_is_named() {
    let house = house("");
    let output = rhaid(house.path(), &["check", "--format", "compact"], &[("RHAID_LIMITS_QUEUE", "0")]);
    assert_eq!(
        text(&output.stdout),
        "RHAID_LIMITS_QUEUE:1:1: `limits.queue`: 0 does not fit: write a whole number from 1 to 1000000\n"
    );
    let output = rhaid(house.path(), &["check"], &[("RHAID_LIMITS_QUEU", "1")]);
    let said = text(&output.stderr);
    assert!(
        said.contains("RHAID_LIMITS_QUEU: this variable means nothing: did you mean `RHAID_LIMITS_QUEUE`?"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn init_writes_a_config_that_check_accepts_and_a_schema_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = rhaid(folder.path(), &["init"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = std::fs::read_to_string(folder.path().join("rhaid.yaml")).unwrap();
    assert_eq!(config, rhaid::config::template());
    let written = std::fs::read_to_string(folder.path().join("rhaid.schema.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["properties"]["limits"]["properties"]["timeout"]["default"], "30s");
    assert!(written["properties"]["triggers"]["items"]["properties"]["cron"].is_object(), "{written:#}");
    let output = rhaid(folder.path(), &["check"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}
