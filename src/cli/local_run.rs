//! Runs and prints a local run: `rhaid try` and `rhaid replay --dry`.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::environment;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::fire::{self, shown};
use crate::cli::run_info::row;
use crate::cli::table::aligned;
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::services::clock::Clock;
use crate::services::store::PayloadFidelity;
use crate::sim::{LocalRun, LocalScript};

/// Runs the handler of the trigger at an index with an event. Ctrl-C cancels the run.
pub(super) fn run(
    script: &LocalScript<'_>,
    at: usize,
    event: &Event,
    clock: Clock,
    is_dry: bool,
) -> anyhow::Result<LocalRun> {
    let tokio = environment::tokio_runtime()?;
    let cancel = CancellationToken::new();
    environment::cancel_on_interrupt(&tokio, &cancel);
    script.run_handler(at, event, clock, is_dry, &tokio, cancel)
}

/// Prints the result; returns the exit code.
pub(super) fn print(run: &LocalRun, as_json: bool) -> anyhow::Result<ExitCode> {
    if let Some(unsent) = &run.unsent {
        terminal::print_error(&format!("{unsent}\n"));
    }
    if as_json {
        terminal::print_json(run)?;
    } else {
        terminal::print(&text(run));
    }
    Ok(if run.unsent.is_none() { fire::code(&run.fired) } else { ExitCode::from(FAILURE) })
}

fn text(run: &LocalRun) -> String {
    let mut text = String::new();
    match run.kept {
        PayloadFidelity::Whole => {}
        PayloadFidelity::Masked => {
            text.push_str(&format!("{} secrets in the payload are replaced by ***\n", paint(Style::Warning, "note")))
        }
        PayloadFidelity::Cut => {
            text.push_str(&format!("{} the recorded payload is truncated\n", paint(Style::Warning, "note")))
        }
    }
    if !run.effects.is_empty() {
        let rows: Vec<_> = run.effects.iter().map(|effect| row(effect, true)).collect();
        let title = if run.is_dry { "planned effects" } else { "effects" };
        text.push_str(&format!("{}\n{}", paint(Style::Heading, title), aligned(&rows)));
    }
    text.push_str(&shown(&run.fired));
    text
}

/// Returns the error that the script has no trigger of a description, such as "trigger `hourly`".
pub(super) fn missing_trigger(script: &LocalScript<'_>, wanted: &str) -> UsageError {
    UsageError(sanitize(&script.missing_trigger(wanted)))
}

/// Prints the faults of a script that cannot be loaded; returns the script otherwise.
pub(super) fn loaded_or_print_faults<T>(loaded: Result<T, Vec<Fault>>) -> Option<T> {
    loaded.map_err(|faults| terminal::print_error(&format!("{}\n", sanitize(&fault::reports(&faults))))).ok()
}
