//! The README and the book's command reference: the first script and every shown command work as written.

use crate::pages::{blocks, shell};
use crate::program::Program;

const README: &str = include_str!("../README.md");

/// The book's command reference, which continues with the README's first script.
const COMMANDS: &str = include_str!("../examples/book/src/reference/commands.md");

#[test]
fn the_first_script_and_every_command_work_as_written() {
    let mut program = Program::empty();
    let mut ran: Vec<String> = Vec::new();
    let mut fridge = String::new();
    for block in blocks(README).into_iter().chain(blocks(COMMANDS)) {
        let info: Vec<_> = block.info.iter().map(String::as_str).collect();
        match info.as_slice() {
            [_, file] if file.starts_with("file=") => program.write(file.trim_start_matches("file="), &block.text),
            ["sh", "start"] => program.start(),
            ["sh", "run"] => {
                for line in block.text.lines() {
                    // curl may be missing, and the port differs from the documented one.
                    if let Some(path) = line.strip_prefix("curl -s localhost:7373/hooks/") {
                        fridge = program.eval(&format!("http_get({:?}).text", program.hook(path)));
                    } else {
                        shell(&program, line);
                        ran.push(line.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(fridge, r#"{"times":1}"#);
    program.wait_for("fridge left open, 1 so far");
    // The configuration was written while rhaid ran.
    program.wait_for("permissions, log applied");
    let all = ["check", "list", "runs", "logs", "fire", "disable", "enable", "next", "exec", "eval", "reference"];
    for command in all.iter().chain(&["definitions", "schema", "completions", "init", "new", "record"]) {
        assert!(
            ran.iter().any(|line| line.starts_with(&format!("rhaid {command}"))),
            "neither the README nor the page of commands shows `{command}`"
        );
    }
}

#[test]
fn the_exit_codes_match_the_help() {
    let help = Program::empty().run(&["--help"]);
    for code in ["0", "1", "2", "3", "130"] {
        let row = README.lines().find(|line| line.starts_with(&format!("| {code} |"))).unwrap();
        let meaning = row.split('|').nth(2).unwrap().trim().replace('`', "");
        assert!(help.replace('`', "").contains(&meaning), "{meaning}");
    }
}
