//! `rhaid explain`: what a warning of `rhaid check` means.

use std::process::ExitCode;

use crate::cli::exit::Wrong;
use crate::cli::screen::{self, Tone, paint};
use crate::cli::table::{Cell, aligned};
use crate::options::nearest;
use crate::script::lint::{LINTS, Lint};

/// Explain a warning of `rhaid check`, or list all of them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid explain
  rhaid explain payload-type")]
pub(super) struct Args {
    /// The warning's code, as `rhaid check` shows it
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Prints the explanation.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(code) = &args.code else {
        let rows: Vec<_> = LINTS.iter().map(|lint| row(lint)).collect();
        screen::say(&format!("{}\nMore about one: rhaid explain CODE\n", aligned(&rows)));
        return Ok(ExitCode::SUCCESS);
    };
    let Some(lint) = LINTS.iter().find(|lint| lint.code.eq_ignore_ascii_case(code)) else {
        let near = nearest(code, LINTS.iter().map(|lint| lint.code));
        let hint =
            near.map_or_else(|| "`rhaid explain` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Wrong(format!("there is no warning `{code}`: {hint}")).into());
    };
    screen::say(&page(lint));
    Ok(ExitCode::SUCCESS)
}

fn row(lint: &Lint) -> Vec<Cell> {
    let first = lint.docs.lines().next().unwrap_or_default();
    vec![Cell::toned(Tone::Name, lint.code.to_owned()), Cell::plain(first)]
}

/// Returns the docs with titles that stand out and code that is indented.
fn page(lint: &Lint) -> String {
    let mut page = format!("{}\n\n", paint(Tone::Strong, lint.code));
    let mut is_code = false;
    for line in lint.docs.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if let Some(title) = line.strip_prefix("# ") {
            page.push_str(&format!("{}\n", paint(Tone::Strong, title)));
        } else if is_code {
            page.push_str(&format!("    {line}\n"));
        } else {
            page.push_str(&format!("{line}\n"));
        }
    }
    page
}
