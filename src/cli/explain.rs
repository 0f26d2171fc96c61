//! `rhaid explain`: what a fault or a warning of `rhaid check` means.

use std::process::ExitCode;

use crate::cli::exit::UsageError;
use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint};
use crate::options::nearest;
use crate::script::codes::CODES;
use crate::script::lint::LINTS;

/// Explain a fault or a warning of `rhaid check`, or list all of them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid explain
  rhaid explain payload-type
  rhaid explain lost-assignment")]
pub(super) struct Args {
    /// The code, as `rhaid check` shows it
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// What there is to say of a code.
struct Explained {
    code: &'static str,
    docs: &'static str,
}

fn faults() -> impl Iterator<Item = Explained> {
    CODES.iter().map(|of| Explained { code: of.code, docs: of.docs })
}

fn warnings() -> impl Iterator<Item = Explained> {
    LINTS.iter().map(|lint| Explained { code: lint.code, docs: lint.docs })
}

/// Prints the explanation.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(code) = &args.code else {
        let table = |title, all: Vec<Explained>| {
            let rows: Vec<_> = all.iter().map(row).collect();
            format!("{}\n{}\n", paint(Style::Heading, title), aligned(&rows))
        };
        let (faults, warnings) = (table("Faults", faults().collect()), table("Warnings", warnings().collect()));
        terminal::print(&format!("{faults}{warnings}More about one: rhaid explain CODE\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let all = || faults().chain(warnings());
    let Some(explained) = all().find(|explained| explained.code.eq_ignore_ascii_case(code)) else {
        let near = nearest(code, all().map(|explained| explained.code));
        let hint =
            near.map_or_else(|| "`rhaid explain` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(UsageError(format!("there is no code `{code}`: {hint}")).into());
    };
    terminal::print(&page(&explained));
    Ok(ExitCode::SUCCESS)
}

fn row(explained: &Explained) -> Vec<Cell> {
    let first = explained.docs.lines().next().unwrap_or_default();
    vec![Cell::styled(Style::Name, format!("  {}", explained.code)), Cell::plain(first)]
}

/// Returns the docs with titles that stand out and code that is indented.
fn page(explained: &Explained) -> String {
    let mut page = format!("{}\n\n", paint(Style::Heading, explained.code));
    let mut is_code = false;
    for line in explained.docs.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if let Some(title) = line.strip_prefix("# ") {
            page.push_str(&format!("{}\n", paint(Style::Heading, title)));
        } else if is_code {
            page.push_str(&format!("    {line}\n"));
        } else {
            page.push_str(&format!("{line}\n"));
        }
    }
    page
}
