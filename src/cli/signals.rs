//! The signals that stop rhaid.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::INTERRUPTED;
use crate::cli::terminal;

/// Receives SIGINT, SIGTERM and SIGHUP.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Registers the signal handlers. Must be called inside the tokio runtime.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub(super) fn register() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal; returns its name. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// Exits the process at the next signal, without cleaning up.
    pub(super) fn exit_on_next(mut self) {
        tokio::spawn(async move {
            let signal = self.next().await;
            terminal::print_error(&format!("{signal} again: exiting at once\n"));
            std::process::exit(i32::from(INTERRUPTED));
        });
    }
}
