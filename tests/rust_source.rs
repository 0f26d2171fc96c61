//! The Rust files of this project, cut into code, comments and string literals, for the tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A stretch of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Code(&'t str),
    Comment(&'t str),
    Literal,
}

/// Cuts a Rust text into pieces, in order; line numbers start at 1.
pub(crate) fn lex(text: &str) -> Vec<(usize, Piece<'_>)> {
    let (mut pieces, mut at, mut line) = (Vec::new(), 0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let (end, piece) = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            (end, Piece::Comment(&rest[..end]))
        } else if rest.starts_with("/*") {
            let end = block_comment_end(rest);
            (end, Piece::Comment(&rest[..end]))
        } else if let Some(end) = literal_end(rest) {
            (end, Piece::Literal)
        } else {
            let end = word_end(rest);
            (end, Piece::Code(&rest[..end]))
        };
        pieces.push((line, piece));
        line += rest[..end].matches('\n').count();
        at += end;
    }
    pieces
}

/// Returns where the word or the single character that a text starts with ends.
fn word_end(text: &str) -> usize {
    let word = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    if word > 0 { word } else { text.chars().next().map_or(1, char::len_utf8) }
}

/// Returns where the string or character literal that a text starts with ends, if it starts with one.
fn literal_end(text: &str) -> Option<usize> {
    let bare = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - bare.len();
    if let Some(raw) = bare.strip_prefix('r') {
        let quoted = raw.trim_start_matches('#');
        let end = format!("\"{}", "#".repeat(raw.len() - quoted.len()));
        let body = quoted.strip_prefix('"')?;
        let length = body.find(&end).map_or(body.len(), |length| length + end.len());
        return Some(text.len() - body.len() + length);
    }
    let quote = bare.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let mut letters = bare.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            _ if letter == quote => return Some(prefix + at + 1),
            // A lifetime or a label: a character literal holds one character.
            _ if quote == '\'' && at == 1 && !bare[1 + letter.len_utf8()..].starts_with('\'') => return None,
            _ => {}
        }
    }
    None
}

/// Returns the code of a text, with a blank in place of each comment and literal.
pub(crate) fn code(text: &str) -> String {
    lex(text).into_iter().map(|(_, piece)| if let Piece::Code(code) = piece { code } else { " " }).collect()
}

/// Returns the Rust files below a folder of the project with their texts, by path relative to that folder.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    paths.into_iter().map(|path| (relative(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    paths.sort();
}

fn block_comment_end(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}
