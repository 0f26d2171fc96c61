//! `rhaid test`: runs the tests of scripts, each in a sandbox.

mod args;
mod coverage;
mod report;
mod runner;
mod watch;

use std::process::ExitCode;

pub(super) use self::args::Args;
use self::runner::run_once;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::settings::Globals;

/// Runs the tests and prints the results.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    if args.watch {
        return watch::run(args, globals);
    }
    let report = run_once(args, globals)?;
    if report.is_empty() {
        return Err(UsageError(match &args.filter {
            Some(filter) => format!("no test name or file contains {filter:?}"),
            None => {
                "there are no tests: write some in a file such as scripts/door_test.rhai, or create a script with a test with `rhaid new`".into()
            }
        })
        .into());
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}
