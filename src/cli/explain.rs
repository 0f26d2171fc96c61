//! `rhaid explain`: explains the faults and warnings of `rhaid check`.

use std::process::ExitCode;

use crate::cli::exit::UsageError;
use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint};
use crate::options::nearest;
use crate::script::codes::CODES;
use crate::script::lint::LINTS;

/// Explain a fault or warning of `rhaid check`, or list all
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid explain
  rhaid explain payload-type
  rhaid explain lost-assignment")]
pub(super) struct Args {
    /// Code of the fault or warning, as shown by `rhaid check`
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// A code and its explanation.
struct Explanation {
    code: &'static str,
    docs: &'static str,
}

fn faults() -> impl Iterator<Item = Explanation> {
    CODES.iter().map(|of| Explanation { code: of.code, docs: of.docs })
}

fn warnings() -> impl Iterator<Item = Explanation> {
    LINTS.iter().map(|lint| Explanation { code: lint.code, docs: lint.docs })
}

/// Prints the explanation.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(code) = &args.code else {
        let table = |title, all: Vec<Explanation>| {
            let rows: Vec<_> = all.iter().map(row).collect();
            format!("{}\n{}\n", paint(Style::Heading, title), aligned(&rows))
        };
        let (faults, warnings) = (table("Faults", faults().collect()), table("Warnings", warnings().collect()));
        terminal::print(&format!("{faults}{warnings}For details: rhaid explain CODE\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let all = || faults().chain(warnings());
    let Some(explained) = all().find(|explained| explained.code.eq_ignore_ascii_case(code)) else {
        let near = nearest(code, all().map(|explained| explained.code));
        let hint =
            near.map_or_else(|| "run `rhaid explain` for a list".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(UsageError(format!("unknown code `{code}`: {hint}")).into());
    };
    terminal::print(&page(&explained));
    Ok(ExitCode::SUCCESS)
}

fn row(explained: &Explanation) -> Vec<Cell> {
    let first = explained.docs.lines().next().unwrap_or_default();
    vec![Cell::styled(Style::Name, format!("  {}", explained.code)), Cell::plain(first)]
}

/// Returns an explanation with highlighted titles and indented code.
fn page(explained: &Explanation) -> String {
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
