//! `rhaid lsp`: a language server for editors, over standard input and output.

mod catalog;
mod checker;
mod completion;
mod diagnostics;
mod documents;
mod features;
mod file_location;
mod server;
mod server_event;
mod text;
mod wire;

use std::io::BufReader;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use self::checker::{CheckRequest, Checker};
use self::server::Server;
use self::server_event::ServerEvent;
use self::wire::Incoming;
use crate::cli::settings::Globals;

/// Run the language server for an editor, over standard input and output
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid lsp                          # the command to configure in an editor
  rhaid --scripts attic/scripts lsp  # use this scripts folder for every file

An editor starts this command. It shows the faults and warnings of `rhaid check` as you type, completes names and options, shows the \
reference of the name under the cursor, and goes to definitions. The book describes the settings of VS Code, Neovim, Helix, Zed and \
Emacs.

Without --scripts or --config, a file belongs to the scripts folder of the nearest rhaid.yaml above it, or else to the nearest folder \
above it with the name `scripts`.")]
pub(super) struct Args {
    /// Accepted because some editors pass it; standard input and output are always used
    #[arg(long, hide = true)]
    stdio: bool,
}

/// Serves requests until the notification `exit` or the end of standard input.
pub(super) fn run(_: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    // Bounded: an editor that sends faster waits.
    let (event_tx, events) = mpsc::sync_channel(64);
    let input_tx = event_tx.clone();
    thread::Builder::new().name("input".into()).spawn(move || {
        let mut input = BufReader::new(std::io::stdin());
        loop {
            let incoming = wire::read(&mut input);
            let is_end = matches!(incoming, Incoming::End);
            if input_tx.send(ServerEvent::Incoming(incoming)).is_err() || is_end {
                break;
            }
        }
    })?;
    // One check at a time.
    let (check_tx, check_requests) = mpsc::sync_channel::<CheckRequest>(1);
    let mut checker = Checker::new(globals.clone());
    thread::Builder::new().name("check".into()).spawn(move || {
        for request in check_requests {
            if event_tx.send(ServerEvent::Checked(checker.check(&request))).is_err() {
                break;
            }
        }
    })?;
    Ok(Server::new(globals.clone(), check_tx).serve(&events))
}
