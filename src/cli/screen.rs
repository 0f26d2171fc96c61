//! What people see: text to the terminal, coloured there and plain in a pipe.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use clap::builder::styling::{AnsiColor, Style};

/// What a piece of text is, which says how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// A script, command or other name.
    Name,
    /// It went well.
    Good,
    /// We coped.
    Warn,
    /// Someone must act.
    Error,
    /// Less important than what stands around it.
    Quiet,
    /// A heading.
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Name => AnsiColor::Cyan.on_default(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }
}

/// Returns text in a tone; what is not a terminal gets it plain later, from [`say`] and [`complain`].
pub(super) fn paint(tone: Tone, text: &str) -> String {
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

/// Writes text to standard output as it stands. A reader that has gone (`| head`) ends the process quietly.
pub(super) fn say(text: &str) {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        // Where standard output can not be written to there is nobody to tell.
        _ => {}
    }
}

/// Writes a value to standard output as indented JSON.
pub(super) fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&format!("{}\n", serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Writes text to standard error as it stands.
pub(super) fn complain(text: &str) {
    // Where standard error can not be written to there is nobody to tell.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Returns text that can not move the cursor or change colours: control characters other than tabs and line ends are spelt out.
pub(super) fn harmless(text: &str) -> String {
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
    fn text_from_scripts_can_not_play_with_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\r\n\tc\u{9b}"), "a\\u{1b}[2Jb\\r\n\tc\\u{9b}");
    }
}
