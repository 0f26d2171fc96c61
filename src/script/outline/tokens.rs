//! The tokens of a script, which can be incomplete.

use std::ops::Range;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A name, keyword or number.
    Word,
    /// A text with its quotation marks. An interpolated text has one token for each piece between values.
    Text,
    /// A comment with its marks.
    Comment,
    /// Anything else: `(`, `#{`, `::`, `||`, or a single character.
    Sign,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The kind.
    pub kind: TokenKind,
    /// The range in bytes.
    pub range: Range<usize>,
}

/// The tokens of several characters that the outline distinguishes.
const SIGNS: &[&str] = &["#{", "::", "||", "=>", "==", "!=", "<=", ">=", "??", "?.", "..", "&&"];

/// Splits a text into tokens. An unclosed token ends with the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), braces: Vec::new() };
    if text.starts_with("#!") {
        lexer.push(TokenKind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    while lexer.next_token() {}
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
    /// The number of open braces in each open value of an interpolated text.
    braces: Vec<usize>,
}

impl Lexer<'_> {
    /// Reads one token. Returns `false` at the end of the text.
    fn next_token(&mut self) -> bool {
        let text = self.text;
        self.at += text[self.at..].len() - text[self.at..].trim_start().len();
        let rest = &text[self.at..];
        let Some(first) = rest.chars().next() else { return false };
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if rest.starts_with("//") {
            self.push(TokenKind::Comment, rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.push(TokenKind::Comment, block_comment(rest));
        } else if is_word(first) {
            self.push(TokenKind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        } else if first == '"' {
            self.push(TokenKind::Text, quoted(rest, '"'));
        } else if first == '\'' {
            self.push(TokenKind::Text, quoted(rest, '\''));
        } else if first == '`' {
            self.piece(1);
        } else if let Some(length) = raw(rest) {
            self.push(TokenKind::Text, length);
        } else {
            self.sign(rest, first);
        }
        true
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        self.tokens.push(Token { kind, range: self.at..self.at + length });
        self.at += length;
    }

    fn sign(&mut self, rest: &str, first: char) {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        self.push(TokenKind::Sign, sign.map_or(first.len_utf8(), |sign| sign.len()));
        match (first, self.braces.last_mut()) {
            ('{', Some(open)) => *open += 1,
            ('#', Some(open)) if rest.starts_with("#{") => *open += 1,
            ('}', Some(1)) => {
                self.braces.pop();
                self.piece(0);
            }
            ('}', Some(open)) => *open -= 1,
            _ => {}
        }
    }

    /// Reads a text in back-ticks up to its end or the next value. `from` skips the opening mark.
    fn piece(&mut self, from: usize) {
        let rest = &self.text[self.at..];
        let end = rest[from..].find('`').map(|end| from + end + 1);
        let value = rest[from..].find("${").map(|value| from + value);
        match (value, end) {
            (Some(value), end) if end.is_none_or(|end| value < end) => {
                self.push(TokenKind::Text, value);
                self.push(TokenKind::Sign, 2);
                self.braces.push(1);
            }
            (_, end) => self.push(TokenKind::Text, end.unwrap_or(rest.len())),
        }
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let (open, close) = (rest[at..].find("/*"), rest[at..].find("*/"));
        match (open, close) {
            (_, None) => return rest.len(),
            (Some(open), Some(close)) if open < close => (depth, at) = (depth + 1, at + open + 2),
            (_, Some(close)) => (depth, at) = (depth - 1, at + close + 2),
        }
    }
    at
}

/// Returns the length of a text in quotation marks. An unclosed text ends with its line.
fn quoted(rest: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            '\n' if !is_escaped => return at,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if letter == mark => return at + letter.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Returns the length of a raw text such as `#"…"#`, if there is one.
fn raw(rest: &str) -> Option<usize> {
    let marks = rest.len() - rest.trim_start_matches('#').len();
    let inside = rest[marks..].strip_prefix('"').filter(|_| marks > 0)?;
    let close = format!("\"{}", &rest[..marks]);
    Some(inside.find(&close).map_or(rest.len(), |end| marks + 1 + end + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| &text[token.range]).collect()
    }

    #[test]
    fn interpolated_values_are_split_and_their_braces_counted() {
        assert_eq!(
            pieces("`a ${ #{ b: `${c}` }.b } d` + 1"),
            ["`a ", "${", "#{", "b", ":", "`", "${", "c", "}", "`", "}", ".", "b", "}", " d`", "+", "1"]
        );
    }

    #[test]
    fn unclosed_tokens_end_with_the_line_or_text() {
        assert_eq!(pieces("let a = \"x\nlet b"), ["let", "a", "=", "\"x", "let", "b"]);
        assert_eq!(pieces("`x ${"), ["`x ", "${"]);
        assert_eq!(pieces("/* a /* b */ c"), ["/* a /* b */ c"]);
        assert_eq!(pieces("#\"a\" b"), ["#\"a\" b"]);
        assert_eq!(pieces("ü::ö(\"ä\\\"\")"), ["ü", "::", "ö", "(", "\"ä\\\"\"", ")"]);
    }
}
