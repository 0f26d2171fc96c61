//! `rhaid new`: creates a script and its test from a template.

mod name;
mod templates;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::name::Name;
use self::templates::{TEMPLATES, Template};
use crate::cli::exit::UsageError;
use crate::cli::init::write_new;
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint, sanitize};

/// Create a script and its test from a template
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid new --list
  rhaid new porch --template motion-light    # scripts/porch.rhai and scripts/porch_test.rhai
  rhaid new garden/pump

The script is written to the scripts folder; a running rhaid loads it at once. Its topics and paths begin with its name. Existing files \
are never overwritten.")]
pub(super) struct Args {
    /// Name of the script, such as porch or garden/pump
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,
    /// Template; --list shows all
    #[arg(short, long, value_name = "TEMPLATE", default_value = templates::DEFAULT)]
    template: String,
    /// List the templates
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

/// Writes the two files and prints the next steps, or lists the templates.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let Some(written) = args.name.as_deref().filter(|_| !args.list) else {
        let rows = TEMPLATES.iter().map(|template| {
            let summary = Cell::plain(template.summary());
            vec![Cell::styled(Style::Name, template.name), summary]
        });
        terminal::print(&aligned(&rows.collect::<Vec<_>>()));
        return Ok(ExitCode::SUCCESS);
    };
    let template = Template::called(&args.template).map_err(UsageError)?;
    let config = settings::load(globals)?;
    let name = Name::read(written, &config.scripts).map_err(|why| UsageError(sanitize(&why)))?;
    let [script, test] = [name.script(&config.scripts), name.test(&config.scripts)];
    for file in [&script, &test] {
        if file.symlink_metadata().is_ok() {
            anyhow::bail!("{} exists already: choose another name, or remove it", shown(file));
        }
    }
    // The script is written last because a running rhaid loads it at once.
    for (file, text) in [(&test, template.test), (&script, template.script)] {
        let is_new = write_new(file, &name.put_into(text))?;
        anyhow::ensure!(is_new, "{} exists already: choose another name", shown(file));
    }
    terminal::print(&summary(template, &name, &script, &test));
    Ok(ExitCode::SUCCESS)
}

/// Returns the written files and the next steps.
fn summary(template: &Template, name: &Name, script: &Path, test: &Path) -> String {
    let wrote = paint(Style::Success, "wrote");
    let mut text = format!("{wrote} {}\n{wrote} {}\n", shown(script), shown(test));
    if let Some(needs) = template.needs {
        let lines = name.put_into(needs);
        text.push_str(&format!("\nAdd this to {} if it is missing:\n\n{lines}", settings::FILE));
    }
    let run = paint(Style::Heading, &format!("rhaid test {}", shown(test)));
    text.push_str(&format!("\nAdapt the script, then run: {run}\n"));
    text
}

/// Returns a path relative to the current folder.
fn shown(file: &Path) -> String {
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    let below = here.ok().and_then(|here| file.strip_prefix(here).ok().map(PathBuf::from));
    below.unwrap_or_else(|| file.to_owned()).display().to_string()
}
