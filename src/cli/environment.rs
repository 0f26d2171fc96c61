//! The environment of scripts that a command runs itself: brokers, context, tokio runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::cli::terminal;
use crate::config::Config;
use crate::functions::{Context, RunLog, RunUsage};
use crate::services::clock::Clock;
use crate::services::routes::Routes;
use crate::services::store::Store;
use crate::services::{Services, mqtt};
use crate::sim::WebhookResult;
use crate::web;

/// Returns the broker settings of `rhaid run`; `embedded` is the address of the embedded broker.
pub(super) fn brokers(config: &Config, embedded: SocketAddr) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    let is_complete = config.mqtt.brokers.iter().all(|broker| broker.client_id.is_some());
    let client_id = match is_complete {
        true => String::new(),
        false => mqtt::client_id(&config.data).context("storing the MQTT client id in the data folder")?,
    };
    mqtt::ConnectionSettings::all(&config.mqtt, embedded, &client_id).map_err(invalid_url)
}

/// Returns the broker settings of a short-lived command.
pub(super) fn ephemeral_brokers(config: &Config) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    mqtt::ConnectionSettings::ephemeral(&config.mqtt).map_err(invalid_url)
}

fn invalid_url(why: String) -> anyhow::Error {
    anyhow::anyhow!("mqtt.url: {why}")
}

/// Returns the context of a run in a short-lived command, with the services that rhaid.yaml configures and a deadline of `limits.timeout`.
pub(super) fn context(
    config: &Arc<Config>,
    clock: Clock,
    store: Store,
    run_log: Arc<dyn RunLog>,
    tokio: &Handle,
) -> anyhow::Result<Context> {
    let _inside = tokio.enter();
    Ok(Context {
        script: "".into(),
        services: Services::builder(clock, store).brokers(ephemeral_brokers(config)?).build(),
        config: config.clone(),
        runtime: tokio.clone(),
        cancel: CancellationToken::new(),
        deadline: Instant::now() + config.limits.timeout,
        virtual_deadline: None,
        batch: Mutex::default(),
        pending_writes: None,
        hops: 0,
        run_log,
        is_dry_run: false,
        usage: RunUsage::default(),
    })
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
pub(super) fn cancel_on_interrupt(tokio: &Runtime, context: &Context) {
    let cancel = context.cancel.clone();
    tokio.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
}

/// Sends all queued messages and disconnects; prints an error and returns false if some were not acknowledged.
pub(super) fn flush_messages(tokio: &Runtime, context: &Context) -> bool {
    let unsent = tokio.block_on(context.services.mqtt.close());
    if unsent > 0 {
        let brokers = context.services.mqtt.states().into_iter().map(|(_, address, _)| address);
        let address = brokers.collect::<Vec<_>>().join(" or ");
        let some = if unsent == 1 { "1 message was".to_owned() } else { format!("{unsent} messages were") };
        terminal::print_error(&format!("{some} not sent or not acknowledged: no broker answers at {address}\n"));
    }
    unsent == 0
}

/// Returns a multi-threaded tokio runtime.
pub(super) fn tokio_runtime() -> anyhow::Result<Runtime> {
    // Scripts run on threads of their own; these threads only do I/O.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("starting threads")
}
