//! The environment of scripts that a command runs: brokers, webhooks, cancellation, tokio runtime.

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::cli::terminal;
use crate::config::Config;
use crate::functions::Context;
use crate::services::mqtt;
use crate::services::routes::Routes;
use crate::sim::{self, WebhookResult};
use crate::web;

/// Returns the broker settings of `rhaid run`; `embedded` is the embedded broker.
pub(super) fn brokers(
    config: &Config,
    embedded: mqtt::EmbeddedEndpoint,
) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    let is_complete = config.mqtt.brokers.iter().all(|broker| broker.client_id.is_some());
    let client_id = match is_complete {
        true => String::new(),
        false => mqtt::client_id(&config.data).context("storing the MQTT client id in the data folder")?,
    };
    mqtt::ConnectionSettings::all(&config.mqtt, embedded, &client_id).map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))
}

/// Calls a webhook of a sandbox.
pub(super) fn call_webhook(
    routes: Routes,
    request: http::request::Builder,
    body: Vec<u8>,
) -> BoxFuture<'static, WebhookResult> {
    Box::pin(web::call(routes, request, body))
}

/// Cancels a run at Ctrl-C.
pub(super) fn cancel_on_interrupt(tokio: &Runtime, cancel: &CancellationToken) {
    let cancel = cancel.clone();
    tokio.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
}

/// Sends all queued messages and disconnects; prints an error and returns false if some were not acknowledged.
pub(super) fn flush_messages(tokio: &Runtime, context: &Context) -> bool {
    let flushed = sim::flush_messages(tokio, context);
    flushed.inspect_err(|why| terminal::print_error(&format!("{why}\n"))).is_ok()
}

/// Returns a multi-threaded tokio runtime.
pub(super) fn tokio_runtime() -> anyhow::Result<Runtime> {
    // Scripts run on threads of their own; these threads only do I/O.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("starting threads")
}
