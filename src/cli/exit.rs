//! How a command ends that could not do its work: what is printed, and the code.

use std::process::ExitCode;

use crate::cli::screen::{self, Tone};
use crate::control::NotRunning;

/// The command line or the configuration is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Wrong(pub(super) String);

/// A script has faults or a run failed, and everything has been said: exit code 1.
pub(super) const FAULTS: u8 = 1;

/// What a second Ctrl-C leaves with, as shells expect of a program ended by SIGINT.
///
/// Source: POSIX.1-2017, Shell Command Language, 2.8.2 "Exit Status for Commands", and the custom of 128 + signal.
pub(super) const INTERRUPTED: u8 = 130;

const REFUSED: u8 = 2;
const NOT_RUNNING: u8 = 3;

/// Prints why a command could not do its work; returns the exit code for it.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    screen::complain(&format!("{}: {error:#}\n", screen::paint(Tone::Error, "rhaid")));
    if error.is::<Wrong>() {
        ExitCode::from(REFUSED)
    } else if error.is::<NotRunning>() {
        ExitCode::from(NOT_RUNNING)
    } else {
        ExitCode::from(FAULTS)
    }
}
