//! Compilation of a file, and its doc comment.

use rhai::{AST, Engine, ParseError};

/// Compiles a file. A `#!` first line is skipped.
pub(super) fn compile(engine: &Engine, file: &str, text: &str) -> Result<AST, ParseError> {
    let from = if text.starts_with("#!") { text.find('\n').unwrap_or(text.len()) } else { 0 };
    let mut ast = engine.compile(&text[from..])?;
    ast.set_source(file);
    Ok(ast)
}

/// Returns the leading `//!` lines without the marks.
pub(super) fn docs(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.starts_with("#!") || line.trim().is_empty());
    let docs: Vec<_> =
        lines.map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    docs.join("\n").trim().to_owned()
}
