//! `rhaid completions`: prints completion scripts for shells.

use std::process::ExitCode;

use crate::cli::terminal;

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid completions bash > ~/.local/share/bash-completion/completions/rhaid
  rhaid completions zsh > ~/.zfunc/_rhaid
  rhaid completions fish > ~/.config/fish/completions/rhaid.fish")]
pub(super) struct Args {
    /// Shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Prints the completion script for the commands of rhaid.
pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rhaid", &mut script);
    terminal::print(&String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}
