//! `rhaid run`, the default: runs the scripts until it is told to stop.

mod house;
mod systemd;
mod yaml;

use std::process::ExitCode;
use std::sync::Arc;

use tracing::{info, warn};

use self::house::House;
use crate::cli::exit::Wrong;
use crate::cli::settings::{self, Globals};
use crate::cli::signals::Signals;
use crate::cli::{log, world};
use crate::config::Config;
use crate::runtime::LogStore;
use crate::services::clock::Clock;
use crate::services::files::Files;

/// Run the scripts; what rhaid does without a command
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid
  rhaid --scripts ~/house/scripts
  RHAID_MQTT_URL=mqtt://192.168.1.2 rhaid run --log-format json

Ctrl-C or SIGTERM stops it: running handlers may finish (limits.stop), on_stop handlers run.
A second Ctrl-C leaves at once.")]
pub(super) struct Args {}

/// Runs the scripts.
pub(super) fn run(_args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let loaded = settings::load_with_warnings(globals)?;
    let config = Arc::new(loaded.config);
    if !config.scripts.is_dir() {
        return Err(no_scripts(&config).into());
    }
    let clock = Clock::system(settings::zone(config.timezone.as_deref())?);
    let book = LogStore::new(clock.clone());
    let filter = log::start(&config, book.clone(), clock.clone())?;
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    world::runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        // Before all else, so that no edit falls between.
        let files = Files::default();
        let edits = yaml::Watch::start(&config, &files);
        let house = House::open(&config, clock, files, book).await?;
        let edits = edits.apply(globals.clone(), house.runtime().clone(), filter);
        let watchdog = systemd::ready();
        let sign = signals.next().await;
        info!("{sign}: stopping; a second one leaves at once");
        systemd::stopping();
        signals.leave_on_next();
        drop(edits);
        house.close().await;
        drop(watchdog);
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

fn no_scripts(config: &Config) -> Wrong {
    Wrong(format!(
        "there is no folder {}\n\nTo start here:     rhaid init && rhaid\nTo start elsewhere: rhaid --scripts FOLDER",
        config.scripts.display()
    ))
}
