//! `rhaid test --watch`: runs the tests again after every change.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint};
use crate::cli::test::args::Args;
use crate::cli::test::runner::run_once;
use crate::cli::{environment, exit};
use crate::services::files::Files;

/// Runs the tests now and after each change, until Ctrl-C.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let tokio = environment::tokio_runtime()?;
    let root = std::path::absolute(settings::load(globals)?.scripts)?;
    let named = args.paths.iter().filter(|path| path.is_dir()).map(std::path::absolute);
    let folders: Vec<PathBuf> = std::iter::once(Ok(root)).chain(named).collect::<Result<_, _>>()?;
    tokio.block_on(async {
        let files = Files::default();
        let is_other = |path: &std::path::Path| path.extension().is_some_and(|ending| ending != "rhai");
        let mut watches: Vec<_> = folders.iter().map(|folder| files.watch(folder, is_other)).collect();
        loop {
            // An error in rhaid.yaml is printed; the next change may fix it.
            if let Err(error) = tokio::task::block_in_place(|| run_once(args, globals)) {
                exit::report(&error);
            }
            terminal::print(&format!("{}\n", paint(Style::Dim, "waiting for a change; press Ctrl-C to stop")));
            let changed =
                futures_util::future::select_all(watches.iter_mut().map(|watch| Box::pin(watch.changes.recv())));
            tokio::select! {
                _ = changed => {}
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}
