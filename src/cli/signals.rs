//! What the system and people say to a running rhaid.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::INTERRUPTED;
use crate::cli::screen;

/// The signals that ask rhaid to stop.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next; returns its name. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// Ends the process at the next one, whatever it is doing.
    pub(super) fn leave_on_next(mut self) {
        tokio::spawn(async move {
            let sign = self.next().await;
            screen::complain(&format!("{sign} again: leaving at once\n"));
            std::process::exit(i32::from(INTERRUPTED));
        });
    }
}
