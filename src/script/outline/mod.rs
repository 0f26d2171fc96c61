//! What a script declares and where, for editors: also of a text that is only half written, and does not compile.

mod call;
mod find;
mod tokens;

use std::ops::Range;

pub use self::call::{Call, CompletionTarget};
pub use self::tokens::{Token, TokenKind};
use super::files::Files;
use super::{engine, errors, source};
use crate::config::Config;
use crate::fault::Fault;
use crate::triggers::Kind;

/// The words of the language that a script may begin something with.
pub const KEYWORDS: &[&str] = &[
    "as", "break", "catch", "const", "continue", "do", "else", "export", "false", "fn", "for", "global", "if",
    "import", "in", "let", "loop", "private", "return", "switch", "this", "throw", "true", "try", "until", "while",
];

/// What a script declares. All places are in bytes.
#[derive(Default)]
pub struct Outline {
    /// Everything it is written with.
    pub tokens: Vec<Token>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Its triggers.
    pub triggers: Vec<Trigger>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Its variables, constants and parameters.
    pub names: Vec<Name>,
}

/// A function of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// What it is called.
    pub name: String,
    /// What its parameters are called.
    pub parameters: Vec<String>,
    /// What the comments with three marks above it say.
    pub docs: String,
    /// Whether only its own file may call it.
    pub is_private: bool,
    /// Where its name stands.
    pub name_range: Range<usize>,
    /// Where all of it stands.
    pub range: Range<usize>,
}

/// A trigger that a script declares.
pub struct Trigger {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its first argument, if that is a plain text.
    pub what: Option<String>,
    /// What its handler calls the event.
    pub event: Option<String>,
    /// Where the kind's name stands.
    pub name_range: Range<usize>,
    /// Where all of it stands.
    pub range: Range<usize>,
}

/// An import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The path as it is written.
    pub path: String,
    /// Where the path stands, with its quotation marks.
    pub path_range: Range<usize>,
    /// What the module is called here.
    pub alias: String,
}

/// A variable, constant or parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// What it is called.
    pub name: String,
    /// Whether it is a constant.
    pub is_constant: bool,
    /// The function whose value it has, if it can be seen.
    pub from: Option<String>,
    /// Where the name stands.
    pub range: Range<usize>,
    /// Where it is known.
    pub scope: Range<usize>,
}

impl Outline {
    /// Reads a text, whole or half written.
    pub fn of(text: &str) -> Self {
        find::outline(text)
    }

    /// Returns the token that stands at a place, or ends there.
    pub fn token_at(&self, offset: usize) -> Option<usize> {
        let inside = self.tokens.iter().position(|token| token.range.contains(&offset));
        let word = |index: &usize| self.tokens[*index].kind == TokenKind::Word;
        inside
            .filter(word)
            .or_else(|| self.tokens.iter().position(|token| token.range.end == offset).filter(word))
            .or(inside)
    }

    /// Returns what a name stands for at a place: the nearest that is known there.
    pub fn name_at(&self, name: &str, offset: usize) -> Option<&Name> {
        let known =
            |known: &&Name| known.name == name && (known.scope.contains(&offset) || known.range.contains(&offset));
        self.names.iter().filter(known).max_by_key(|name| name.range.start)
    }

    /// Returns the trigger whose handler calls its event this, at a place.
    pub fn event_at(&self, name: &str, offset: usize) -> Option<&Trigger> {
        let is_it = |trigger: &&Trigger| trigger.event.as_deref() == Some(name) && trigger.range.contains(&offset);
        self.triggers.iter().filter(is_it).max_by_key(|trigger| trigger.range.start)
    }
}

/// Returns what the compiler says against a text, and nothing else: for files that are no scripts.
pub fn syntax(file: &str, text: &str, config: &Config) -> Option<Fault> {
    let files = Files(vec![(file.to_owned(), text.to_owned())]);
    let error = source::compile(&engine::shared(&config.limits), file, text).err()?;
    Some(errors::syntax(&files, file, &error))
}

/// Returns the file, below the scripts folder, that an import in a file means.
///
/// # Errors
/// A sentence, if it leads out of the folder or is no path.
pub fn imported_file(importer: &str, path: &str) -> Result<String, String> {
    super::modules::file_of(importer, path)
}
