//! `rhaid run`, the default command: runs the scripts until a signal stops it.

mod daemon;
mod systemd;
mod yaml;

use std::process::ExitCode;
use std::sync::Arc;

use tracing::{info, warn};

use self::daemon::Daemon;
use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::signals::Signals;
use crate::cli::{environment, log};
use crate::config::Config;
use crate::runtime::LogStore;
use crate::services::clock::Clock;
use crate::services::files::Files;

/// Run the scripts (the default command)
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid
  rhaid --scripts ~/house/scripts
  RHAID_MQTT_URL=mqtt://192.168.1.2 rhaid run --log-format json

Ctrl-C or SIGTERM stops rhaid: it waits for running handlers (limits.stop) and runs on_stop handlers. \
A second Ctrl-C exits at once.")]
pub(super) struct Args {}

/// Runs the scripts.
pub(super) fn run(_args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let loaded = settings::load_with_warnings(globals)?;
    let config = Arc::new(loaded.config);
    if !config.scripts.is_dir() {
        return Err(no_scripts(&config).into());
    }
    let clock = Clock::system(settings::zone(config.timezone.as_deref())?);
    let log_store = LogStore::new(clock.clone());
    let filter = log::start(&config, log_store.clone(), clock.clone())?;
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    environment::tokio_runtime()?.block_on(async {
        let mut signals = Signals::register()?;
        // Started first so that no edit is missed.
        let files = Files::default();
        let edits = yaml::Watch::start(&config, &files);
        let daemon = Daemon::start(&config, clock, files, log_store).await?;
        let edits = edits.apply(globals.clone(), daemon.runtime().clone(), filter);
        let watchdog = systemd::ready();
        let signal = signals.next().await;
        info!("{signal}: stopping; a second one exits at once");
        systemd::stopping();
        signals.exit_on_next();
        drop(edits);
        daemon.stop().await;
        drop(watchdog);
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

fn no_scripts(config: &Config) -> UsageError {
    UsageError(format!(
        "there is no folder {}\n\nTo create it:          rhaid init && rhaid\nTo use another folder: rhaid --scripts FOLDER",
        config.scripts.display()
    ))
}
