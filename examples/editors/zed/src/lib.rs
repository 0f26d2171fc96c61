//! Starts `rhaid lsp` for Rhai files; the server does the rest.

use zed_extension_api::{register_extension, Command, Extension, LanguageServerId, Result, Worktree};

struct Rhaid;

impl Extension for Rhaid {
    fn new() -> Self {
        Self
    }

    fn language_server_command(&mut self, _: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let command = worktree.which("rhaid").ok_or("there is no `rhaid` in the path")?;
        Ok(Command { command, args: vec!["lsp".into()], env: worktree.shell_env() })
    }
}

register_extension!(Rhaid);
