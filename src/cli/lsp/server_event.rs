//! Input of the language server.

use crate::cli::lsp::checker::DiagnosticsByFile;
use crate::cli::lsp::wire::Incoming;

/// An input of the language server, handled one at a time.
pub(super) enum ServerEvent {
    Incoming(Incoming),
    /// The result of a check; `None` if it panicked.
    Checked(Option<DiagnosticsByFile>),
}
