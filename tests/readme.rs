//! The README's first script and every command in it do what it says.

use std::process::Command;

use crate::house::{House, text};

const README: &str = include_str!("../README.md");

/// A fenced block: the words behind its fence, and its lines.
struct Block {
    info: Vec<&'static str>,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { info: info.split_whitespace().collect(), text: body.join("\n") + "\n" });
        }
    }
    blocks
}

/// Runs a line as a shell in the folder would, with rhaid in the path; returns what it printed.
fn shell(house: &House, line: &str) -> String {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_rhaid")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    house.surround(&mut command);
    let output = command.args(["-c", line]).env("PATH", format!("{}:{path}", program.display())).output().unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{line}: {}\n{printed}\n{}", output.status, text(&output.stderr));
    printed
}

#[test]
fn the_first_script_and_every_command_work_as_they_stand() {
    let mut house = House::empty();
    let mut ran: Vec<String> = Vec::new();
    let mut fridge = String::new();
    for block in blocks() {
        match block.info.as_slice() {
            [_, file] if file.starts_with("file=") => house.write(file.trim_start_matches("file="), &block.text),
            ["sh", "start"] => house.start(),
            ["sh", "run"] => {
                for line in block.text.lines() {
                    // Not every machine has curl, and the port is a free one here.
                    if let Some(path) = line.strip_prefix("curl -s localhost:7373/hooks/") {
                        fridge = house.eval(&format!("http_get({:?}).text", house.hook(path)));
                    } else {
                        shell(&house, line);
                        ran.push(line.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(fridge, r#"{"times":1}"#);
    house.wait_for("the fridge is open, for the 1. time");
    // The configuration was written while rhaid ran.
    house.wait_for("permissions, log applied");
    let all = ["check", "list", "runs", "logs", "fire", "disable", "enable", "next", "exec", "eval", "reference"];
    for command in all.iter().chain(&["definitions", "schema", "completions", "init", "new", "record"]) {
        assert!(
            ran.iter().any(|line| line.starts_with(&format!("rhaid {command}"))),
            "the README shows no `{command}`"
        );
    }
}

#[test]
fn the_exit_codes_are_those_that_help_names() {
    let help = House::empty().run(&["--help"]);
    for code in ["0", "1", "2", "3", "130"] {
        let row = README.lines().find(|line| line.starts_with(&format!("| {code} |"))).unwrap();
        let meaning = row.split('|').nth(2).unwrap().trim().replace('`', "");
        assert!(help.replace('`', "").contains(&meaning), "{meaning}");
    }
}
