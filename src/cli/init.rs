//! `rhaid init`: a folder to start with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::screen::{self, Tone, paint};
use crate::cli::settings;
use crate::config;

const HELLO: &str = include_str!("../../scripts/hello.rhai");

const GITIGNORE: &str = "# State, timers and the ledger of rhaid.\n.rhaid/\n";

/// Write a commented rhaid.yaml and a first script into a folder
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid init
  rhaid init ~/house

A file that is there already is left as it is.")]
pub(super) struct Args {
    /// The folder; it is made if it is not there
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Writes the files, and says which.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let schema = format!("{:#}\n", config::schema(&settings::kinds()));
    let files = [
        (settings::FILE, config::template()),
        ("rhaid.schema.json", schema.as_str()),
        ("scripts/hello.rhai", HELLO),
        (".gitignore", GITIGNORE),
    ];
    for (name, text) in files {
        let word = match write_new(&folder.join(name), text)? {
            true => paint(Tone::Good, "wrote"),
            false => paint(Tone::Quiet, "kept "),
        };
        screen::say(&format!("{word} {}\n", folder.join(name).display()));
    }
    let place = if folder == Path::new(".") { String::new() } else { format!("cd {} && ", folder.display()) };
    screen::say(&format!("\nNow run: {}\n", paint(Tone::Strong, &format!("{place}rhaid"))));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file with its folders unless it is there already; returns whether it did.
pub(super) fn write_new(file: &Path, text: &str) -> anyhow::Result<bool> {
    let context = || format!("writing {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(mut open) => open.write_all(text.as_bytes()).map(|()| true).with_context(context),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(context),
    }
}
