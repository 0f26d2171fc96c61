//! Exit codes, and the error message of a command that failed.

use std::process::ExitCode;

use crate::cli::terminal::{self, Style};
use crate::control::NotRunning;

/// An error in the command line or the configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Exit code of a script with faults or a failed run, after the details were printed.
pub(super) const FAILURE: u8 = 1;

/// Exit code after a second Ctrl-C: 128 + the number of SIGINT.
///
/// Source: POSIX.1-2017, Shell Command Language, 2.8.2 "Exit Status for Commands".
pub(super) const INTERRUPTED: u8 = 130;

const USAGE: u8 = 2;
const NOT_RUNNING: u8 = 3;

/// Prints the error of a command; returns its exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    terminal::print_error(&format!("{}: {error:#}\n", terminal::paint(Style::Error, "rhaid")));
    if error.is::<UsageError>() {
        ExitCode::from(USAGE)
    } else if error.is::<NotRunning>() {
        ExitCode::from(NOT_RUNNING)
    } else {
        ExitCode::from(FAILURE)
    }
}
