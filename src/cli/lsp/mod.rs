//! `rhaid lsp`: a language server for editors, over standard input and output.

mod catalog;
mod checker;
mod completion;
mod diagnostics;
mod documents;
mod features;
mod project;
mod server;
mod text;
mod wire;

use std::io::BufReader;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use self::checker::{CheckRequest, Checker, DiagnosticsByFile};
use self::server::Server;
use self::wire::Incoming;
use crate::cli::settings::Globals;

/// Speak the language server protocol with an editor, over standard input and output
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid lsp                          # as an editor's settings say it
  rhaid --scripts attic/scripts lsp  # every file belongs to that folder

An editor starts it, and shows what `rhaid check` finds while somebody types, completes names and options, explains what
the cursor is on and goes to where it comes from. The README says how for VS Code, Neovim, Helix, Zed and Emacs.

Without --scripts or --config, the scripts folder of a file is that of the next rhaid.yaml above it, or else the next
folder above it that is called `scripts`.")]
pub(super) struct Args {
    /// Taken for the editors that say it; there is no other way
    #[arg(long, hide = true)]
    stdio: bool,
}

/// What happens, one after another.
enum ServerEvent {
    Incoming(Incoming),
    /// What was found in the last check; nothing if that went wrong.
    Checked(Option<DiagnosticsByFile>),
}

/// Serves until the editor says `exit`, or is gone.
pub(super) fn run(_: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    // Few: who sends more waits until some are done.
    let (tell, events) = mpsc::sync_channel(64);
    let heard = tell.clone();
    thread::Builder::new().name("input".into()).spawn(move || {
        let mut input = BufReader::new(std::io::stdin());
        loop {
            let incoming = wire::read(&mut input);
            let is_end = matches!(incoming, Incoming::End);
            if heard.send(ServerEvent::Incoming(incoming)).is_err() || is_end {
                break;
            }
        }
    })?;
    // One check at a time.
    let (orders, ordered) = mpsc::sync_channel::<CheckRequest>(1);
    let mut checker = Checker::new(globals.clone());
    thread::Builder::new().name("check".into()).spawn(move || {
        for request in ordered {
            if tell.send(ServerEvent::Checked(checker.check(&request))).is_err() {
                break;
            }
        }
    })?;
    Ok(Server::new(globals.clone(), orders).serve(&events))
}
