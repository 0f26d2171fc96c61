//! Output to the terminal: coloured text, or plain text in a pipe.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use clap::builder::styling::{AnsiColor, Style as AnsiStyle};

/// The meaning of a piece of text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A script, command or other name.
    Name,
    /// A success.
    Success,
    /// A problem that rhaid handled.
    Warning,
    /// A problem that needs action.
    Error,
    /// Secondary text.
    Dim,
    /// A heading.
    Heading,
}

impl Style {
    fn ansi(self) -> AnsiStyle {
        match self {
            Self::Name => AnsiColor::Cyan.on_default(),
            Self::Success => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Dim => AnsiStyle::new().dimmed(),
            Self::Heading => AnsiStyle::new().bold(),
        }
    }
}

/// Returns text with escape sequences for a style; [`print`] and [`print_error`] remove them where the output is not a terminal.
pub(super) fn paint(style: Style, text: &str) -> String {
    let style = style.ansi();
    format!("{style}{text}{style:#}")
}

/// Writes text to standard output. Exits with 0 if the pipe is closed, as by `| head`.
pub(super) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        // An error on standard output cannot be reported there.
        _ => {}
    }
}

/// Writes a value to standard output as indented JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Writes text to standard error.
pub(super) fn print_error(text: &str) {
    // An error on standard error cannot be reported.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Returns text with control characters escaped, except tabs and line feeds, so that it cannot control the terminal.
pub(super) fn sanitize(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            // Writing to a string does not fail.
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(sanitize("a\x1b[2Jb\r\n\tc\u{9b}"), "a\\u{1b}[2Jb\\r\n\tc\\u{9b}");
    }
}
