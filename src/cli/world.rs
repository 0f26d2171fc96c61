//! The outside world, as the configuration describes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::cli::screen;
use crate::config::{Config, Limits};
use crate::functions::{Context, RunLog, RunUsage};
use crate::script;
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::services::{Services, mqtt};

/// Returns how a rhaid that stays speaks to its brokers; `embedded` is where the embedded one listens.
pub(super) fn brokers(config: &Config, embedded: SocketAddr) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    let is_complete = config.mqtt.brokers.iter().all(|broker| broker.client_id.is_some());
    let client_id = match is_complete {
        true => String::new(),
        false => mqtt::client_id(&config.data).context("keeping the MQTT client id in the data folder")?,
    };
    settings(config, embedded, &client_id)
}

/// Returns how a command that comes and goes speaks to the brokers.
pub(super) fn brokers_for_a_visit(config: &Config) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    let all = settings(config, config.mqtt.embedded.listen, "rhaid")?;
    Ok(all.into_iter().map(mqtt::ConnectionSettings::into_ephemeral).collect())
}

fn settings(config: &Config, embedded: SocketAddr, client_id: &str) -> anyhow::Result<Vec<mqtt::ConnectionSettings>> {
    mqtt::ConnectionSettings::all(&config.mqtt, embedded, client_id).map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))
}

/// Returns what the functions of a script can reach that comes and goes: as `rhaid.yaml` says, within `limits.timeout`.
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
        services: Services::new(clock, store, brokers_for_a_visit(config)?),
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

/// Cancels a run at Ctrl-C.
pub(super) fn cancel_on_interrupt(tokio: &Runtime, context: &Context) {
    let cancel = context.cancel.clone();
    tokio.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
}

/// Sends what waits to be sent; if the brokers do not take it, says so and returns false.
pub(super) fn says_goodbye(tokio: &Runtime, context: &Context) -> bool {
    let unsent = tokio.block_on(context.services.mqtt.close());
    if unsent > 0 {
        let brokers = context.services.mqtt.states().into_iter().map(|(_, address, _)| address);
        let address = brokers.collect::<Vec<_>>().join(" or ");
        let some = if unsent == 1 { "1 message was".to_owned() } else { format!("{unsent} messages were") };
        screen::complain(&format!("{some} not sent, or not confirmed: no broker answers at {address}\n"));
    }
    unsent == 0
}

/// Runs a script on a thread with room for what its context allows.
pub(super) fn on_a_script_thread<T: Send>(context: &Context, run: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    on_a_thread_for(&context.config.limits, run)
}

/// Runs something on a thread with room for scripts within these limits.
pub(super) fn on_a_thread_for<T: Send>(limits: &Limits, run: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let stack = script::stack_size(limits);
    let ended = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("script".into()).stack_size(stack);
        thread.spawn_scoped(scope, run).map(|thread| thread.join())
    });
    ended?.map_err(|_| anyhow::anyhow!("the interpreter panicked: this is a mistake in rhaid"))
}

/// Returns the tokio runtime that everything runs on.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    // Scripts have threads of their own: these only wait for the outside.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().context("starting threads")
}
