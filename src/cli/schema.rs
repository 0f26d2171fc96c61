//! `rhaid schema`: prints the JSON Schema of rhaid.yaml.

use std::process::ExitCode;

use crate::cli::{settings, terminal};
use crate::config;

/// Print the JSON Schema of rhaid.yaml, for editors
#[derive(clap::Args)]
#[command(after_help = "Example:
  rhaid schema > rhaid.schema.json

The first line of the rhaid.yaml from `rhaid init` refers to this file.")]
pub(super) struct Args {}

/// Prints the schema.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    terminal::print_json(&config::schema(&settings::kinds()))?;
    Ok(ExitCode::SUCCESS)
}
