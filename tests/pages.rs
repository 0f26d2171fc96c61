//! Code blocks of Markdown pages, and a shell that runs their lines.

use std::process::Command;

use crate::program::{Program, text};

/// A fenced block: its info string and its lines.
pub(crate) struct Block {
    /// The words of the info string, such as `sh` and `run`, split at spaces and commas.
    pub(crate) info: Vec<String>,
    /// The lines of the block.
    pub(crate) text: String,
}

impl Block {
    /// Returns the file named in the info string, as in `file=scripts/door.rhai`.
    pub(crate) fn file(&self) -> Option<&str> {
        self.info.iter().find_map(|word| word.strip_prefix("file="))
    }
}

/// Returns the fenced blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let info = info.split([' ', ',']).map(str::to_owned).collect();
            blocks.push(Block { info, text: body.join("\n") + "\n" });
        }
    }
    blocks
}

/// Runs a line with `sh` in the folder, with rhaid in `PATH`; returns its standard output.
pub(crate) fn shell(program: &Program, line: &str) -> String {
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_rhaid")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    program.surround(&mut command);
    let output = command.args(["-c", line]).env("PATH", format!("{}:{path}", binaries.display())).output().unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{line}: {}\n{printed}\n{}", output.status, text(&output.stderr));
    printed
}
