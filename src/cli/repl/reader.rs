//! Input of the REPL: a terminal with history and completion, or a pipe.

use std::borrow::Cow;
use std::fs::DirBuilder;
use std::io::{BufRead as _, IsTerminal as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};

use crate::cli::repl::commands::COMMANDS;
use crate::cli::repl::watch::Printer;
use crate::cli::terminal;
use crate::config::Config;
use crate::functions::reference::reference;
use crate::script::repl_session::is_unfinished;

/// Source of input lines.
pub(super) enum LineReader {
    Terminal(Box<Editor<LineHelper, FileHistory>>, Option<PathBuf>),
    Pipe(Arc<Config>),
}

impl LineReader {
    /// Opens standard input; also returns a printer for output while a line is being edited.
    pub(super) fn open(config: &Arc<Config>) -> anyhow::Result<(Self, Printer)> {
        if !std::io::stdin().is_terminal() {
            return Ok((Self::Pipe(config.clone()), Box::new(|line: &str| terminal::print(line))));
        }
        let mut editor = Editor::new()?;
        editor.set_helper(Some(LineHelper { names: Vec::new(), config: config.clone() }));
        let history = history();
        if let Some(history) = &history {
            // The file does not exist at the first start.
            let _ = editor.load_history(history);
        }
        // Output replaces the line that is being edited; the editor redraws it at the next key.
        let printer: Printer = Box::new(|line: &str| terminal::print(&format!("\r\x1b[K{line}")));
        Ok((Self::Terminal(Box::new(editor), history), printer))
    }

    /// Returns whether the input is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(..))
    }

    /// Reads the next input, which may span several lines; returns `None` at the end. `names` are completed.
    pub(super) fn read(&mut self, names: &[String]) -> anyhow::Result<Option<String>> {
        match self {
            Self::Terminal(editor, history) => {
                if let Some(helper) = editor.helper_mut() {
                    helper.names = names.to_vec();
                }
                loop {
                    match editor.readline("> ") {
                        Ok(line) => {
                            let is_new = editor.add_history_entry(&line)?;
                            if let Some(history) = history.as_ref().filter(|_| is_new) {
                                // An unwritable history file is not an error.
                                let _ = editor.append_history(history);
                            }
                            return Ok(Some(line));
                        }
                        Err(ReadlineError::Interrupted) => {}
                        Err(ReadlineError::Eof) => return Ok(None),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Self::Pipe(config) => {
                let mut text = String::new();
                for line in std::io::stdin().lock().lines() {
                    text.push_str(&line?);
                    if !is_incomplete(&text, config) {
                        return Ok(Some(text));
                    }
                    text.push('\n');
                }
                Ok((!text.is_empty()).then_some(text))
            }
        }
    }
}

fn is_incomplete(text: &str, config: &Config) -> bool {
    !text.trim_start().starts_with(':') && is_unfinished(text, config)
}

/// Returns the path of the history file, in a folder that only its owner can read.
///
/// Source: XDG Base Directory Specification, `$XDG_STATE_HOME`.
fn history() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")))?.join("rhaid");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("repl_history"))
}

/// Completion and validation for the line editor.
pub(super) struct LineHelper {
    names: Vec<String>,
    config: Arc<Config>,
}

impl Completer for LineHelper {
    type Candidate = String;

    fn complete(&self, line: &str, end: usize, _: &rustyline::Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let start =
            line[..end].rfind(|c| !is_word(c)).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
        let word = &line[start..end];
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        let commands = COMMANDS.iter().map(|(name, ..)| *name).filter(|_| start == 0);
        let known = reference().iter().map(|entry| entry.function.as_str());
        let all = commands.chain(self.names.iter().map(String::as_str)).chain(known);
        let mut found: Vec<_> = all.filter(|name| name.starts_with(word)).map(str::to_owned).collect();
        found.sort();
        found.dedup();
        Ok((start, found))
    }
}

impl Hinter for LineHelper {
    type Hint = String;
}

impl Highlighter for LineHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for LineHelper {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        // An empty line ends the input, even if it is incomplete.
        let is_over = typed.input().ends_with('\n');
        let is_incomplete = !is_over && is_incomplete(typed.input(), &self.config);
        Ok(if is_incomplete { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for LineHelper {}
