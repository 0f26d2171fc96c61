//! `rhaid completions`: what a shell needs to complete rhaid's commands.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, terminal};

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid completions bash > ~/.local/share/bash-completion/completions/rhaid
  rhaid completions zsh > ~/.zfunc/_rhaid
  rhaid completions fish > ~/.config/fish/completions/rhaid.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Prints the completion script.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rhaid", &mut script);
    terminal::print(&String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}
