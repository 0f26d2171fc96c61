//! `rhaid init`: creates a folder to start with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::terminal::{self, Style, paint};
use crate::cli::{definitions, settings};
use crate::config;

const HELLO: &str = include_str!("../../../scripts/hello.rhai");
const HELLO_TEST: &str = include_str!("../../../scripts/hello_test.rhai");
const VSCODE_SETTINGS: &str = include_str!("vscode_settings.json");
const VSCODE_EXTENSIONS: &str = include_str!("vscode_extensions.json");
const HELIX_LANGUAGES: &str = include_str!("helix_languages.toml");

const GITIGNORE: &str = "# State, timers and run history of rhaid.\n.rhaid/\n";

/// Create a folder with a commented rhaid.yaml, a first script with a test, and editor settings
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid init
  rhaid init ~/house

Existing files are not changed. The files for editors are the schema of rhaid.yaml, the output of `rhaid definitions`, and settings for \
VS Code (with recommended extensions) and Helix, which start `rhaid lsp`.")]
pub(super) struct Args {
    /// Folder; it is created if it does not exist
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Writes the files and prints their names.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let schema = format!("{:#}\n", config::schema(&settings::kinds()));
    let definitions = definitions::definitions();
    let own = [
        (settings::FILE, config::template()),
        ("scripts/hello.rhai", HELLO),
        ("scripts/hello_test.rhai", HELLO_TEST),
        (".gitignore", GITIGNORE),
    ];
    let of_editors = [
        ("rhaid.schema.json", schema.as_str()),
        ("definitions/rhaid.d.rhai", definitions.as_str()),
        (".vscode/settings.json", VSCODE_SETTINGS),
        (".vscode/extensions.json", VSCODE_EXTENSIONS),
        (".helix/languages.toml", HELIX_LANGUAGES),
    ];
    for file in own {
        terminal::print(&write_all(folder, &[file])?);
    }
    terminal::print(&write_all(folder, &of_editors)?);
    let place = if folder == Path::new(".") { String::new() } else { format!("cd {} && ", folder.display()) };
    terminal::print(&format!("\nNow run: {}\n", paint(Style::Heading, &format!("{place}rhaid"))));
    Ok(ExitCode::SUCCESS)
}

/// Writes the missing files; returns a line with the written files and one with the existing files.
fn write_all(folder: &Path, files: &[(&str, &str)]) -> anyhow::Result<String> {
    let (mut wrote, mut kept) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let file = folder.join(name);
        let names = if write_new(&file, text)? { &mut wrote } else { &mut kept };
        names.push(file.display().to_string());
    }
    let line = |word: String, names: Vec<String>| match names.is_empty() {
        true => String::new(),
        false => format!("{word} {}\n", names.join(" ")),
    };
    Ok([line(paint(Style::Success, "wrote"), wrote), line(paint(Style::Dim, "kept "), kept)].concat())
}

/// Writes a file and its folders unless the file exists; returns whether it was written.
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
