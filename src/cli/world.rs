//! The outside world, as the configuration describes it.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::config::Config;
use crate::services::mqtt;

/// Returns how a rhaid that stays speaks to its broker; `embedded` is where the embedded one listens.
pub(super) fn broker(config: &Config, embedded: SocketAddr) -> anyhow::Result<mqtt::Settings> {
    let client_id = match &config.mqtt.client_id {
        Some(id) => id.clone(),
        None => mqtt::client_id(&config.data).context("keeping the MQTT client id in the data folder")?,
    };
    mqtt::Settings::new(&config.mqtt, embedded, client_id).map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))
}

/// Returns how a command that comes and goes speaks to the broker.
pub(super) fn broker_for_a_visit(config: &Config) -> anyhow::Result<mqtt::Settings> {
    let client_id = config.mqtt.client_id.clone().unwrap_or_else(|| "rhaid".to_owned());
    let settings = mqtt::Settings::new(&config.mqtt, config.mqtt.embedded.listen, client_id);
    Ok(settings.map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))?.as_visitor())
}

/// Returns the tokio runtime that everything runs on.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Scripts have threads of their own: these only wait for the outside.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("starting threads")
}
