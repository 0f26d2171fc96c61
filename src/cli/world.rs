//! The outside world, as the configuration describes it.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::config::Config;
use crate::services::mqtt;

/// Returns how a rhaid that stays speaks to its brokers; `embedded` is where the embedded one listens.
pub(super) fn brokers(config: &Config, embedded: SocketAddr) -> anyhow::Result<Vec<mqtt::Settings>> {
    let is_complete = config.mqtt.brokers.iter().all(|broker| broker.client_id.is_some());
    let client_id = match is_complete {
        true => String::new(),
        false => mqtt::client_id(&config.data).context("keeping the MQTT client id in the data folder")?,
    };
    settings(config, embedded, &client_id)
}

/// Returns how a command that comes and goes speaks to the brokers.
pub(super) fn brokers_for_a_visit(config: &Config) -> anyhow::Result<Vec<mqtt::Settings>> {
    let all = settings(config, config.mqtt.embedded.listen, "rhaid")?;
    Ok(all.into_iter().map(mqtt::Settings::as_visitor).collect())
}

fn settings(config: &Config, embedded: SocketAddr, client_id: &str) -> anyhow::Result<Vec<mqtt::Settings>> {
    mqtt::Settings::all(&config.mqtt, embedded, client_id).map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))
}

/// Returns the tokio runtime that everything runs on.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Scripts have threads of their own: these only wait for the outside.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("starting threads")
}
