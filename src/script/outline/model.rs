//! The outline of a script: tokens, functions, triggers, imports and names.

use std::ops::Range;

use super::tokens::{Token, TokenKind};
use crate::triggers::Kind;

/// The keywords that can begin an expression or statement.
pub const KEYWORDS: &[&str] = &[
    "as", "break", "catch", "const", "continue", "do", "else", "export", "false", "fn", "for", "global", "if",
    "import", "in", "let", "loop", "private", "return", "switch", "this", "throw", "true", "try", "until", "while",
];

/// The declarations of a script. All ranges are in bytes.
#[derive(Default)]
pub struct Outline {
    /// All tokens.
    pub tokens: Vec<Token>,
    /// The functions.
    pub functions: Vec<Function>,
    /// The triggers.
    pub triggers: Vec<Trigger>,
    /// The imports.
    pub imports: Vec<Import>,
    /// The variables, constants and parameters.
    pub names: Vec<Name>,
}

/// A function of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The name.
    pub name: String,
    /// The names of the parameters.
    pub parameters: Vec<String>,
    /// The text of the `///` comments above the function.
    pub docs: String,
    /// Whether only its own file can call it.
    pub is_private: bool,
    /// The range of the name.
    pub name_range: Range<usize>,
    /// The range of the whole function.
    pub range: Range<usize>,
}

/// A trigger that a script declares.
pub struct Trigger {
    /// The kind.
    pub kind: &'static Kind,
    /// The first argument, if it is a plain text.
    pub what: Option<String>,
    /// The name of the event in the handler.
    pub event: Option<String>,
    /// The range of the kind's name.
    pub name_range: Range<usize>,
    /// The range of the whole declaration.
    pub range: Range<usize>,
}

/// An import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The path as it is written.
    pub path: String,
    /// The range of the path, including the quotation marks.
    pub path_range: Range<usize>,
    /// The alias of the module.
    pub alias: String,
}

/// A variable, constant or parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The name.
    pub name: String,
    /// Whether it is a constant.
    pub is_constant: bool,
    /// The function whose return value it holds, if this is known.
    pub from: Option<String>,
    /// The range of the name in its definition.
    pub range: Range<usize>,
    /// The range in which the name is visible.
    pub scope: Range<usize>,
}

impl Outline {
    /// Returns the index of the token at an offset, or of the word that ends there.
    pub fn token_at(&self, offset: usize) -> Option<usize> {
        let inside = self.tokens.iter().position(|token| token.range.contains(&offset));
        let word = |index: &usize| self.tokens[*index].kind == TokenKind::Word;
        inside
            .filter(word)
            .or_else(|| self.tokens.iter().position(|token| token.range.end == offset).filter(word))
            .or(inside)
    }

    /// Returns the innermost definition of a name that is visible at an offset.
    pub fn name_at(&self, name: &str, offset: usize) -> Option<&Name> {
        let is_visible =
            |known: &&Name| known.name == name && (known.scope.contains(&offset) || known.range.contains(&offset));
        self.names.iter().filter(is_visible).max_by_key(|name| name.range.start)
    }

    /// Returns the innermost trigger around an offset whose handler gives the event this name.
    pub fn event_at(&self, name: &str, offset: usize) -> Option<&Trigger> {
        let is_it = |trigger: &&Trigger| trigger.event.as_deref() == Some(name) && trigger.range.contains(&offset);
        self.triggers.iter().filter(is_it).max_by_key(|trigger| trigger.range.start)
    }
}
