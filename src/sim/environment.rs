//! The environment of a script that runs outside the running rhaid: brokers and context.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::functions::{Context, RunLog, RunUsage};
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::mqtt::ConnectionSettings;
use crate::services::store::Store;

/// Returns the broker settings of a short-lived client.
///
/// # Errors
/// If the URL of a broker is invalid.
pub fn ephemeral_brokers(config: &Config) -> anyhow::Result<Vec<ConnectionSettings>> {
    ConnectionSettings::ephemeral(&config.mqtt).map_err(|why| anyhow::anyhow!("mqtt.url: {why}"))
}

/// Returns the context of a run outside the running rhaid, with the services that rhaid.yaml configures and a deadline of `limits.timeout`.
///
/// # Errors
/// If the URL of a broker is invalid.
pub fn context(
    config: &Arc<Config>,
    clock: Clock,
    store: Store,
    run_log: Arc<dyn RunLog>,
    tokio: &Handle,
) -> anyhow::Result<Context> {
    let _inside = tokio.enter();
    Ok(Context {
        script: "".into(),
        services: Services::builder(clock, store).brokers(ephemeral_brokers(config)?).build().into(),
        config: config.clone(),
        runtime: tokio.clone(),
        cancel: CancellationToken::new(),
        deadline: Instant::now() + config.limits.timeout,
        virtual_deadline: None,
        batch: Mutex::default(),
        earlier_runs: None,
        pending_writes: None,
        hops: 0,
        run_log,
        is_dry_run: false,
        usage: RunUsage::default(),
    })
}

/// Sends all queued messages and disconnects.
///
/// # Errors
/// A sentence, if some messages were not acknowledged.
pub fn flush_messages(tokio: &Runtime, context: &Context) -> Result<(), String> {
    let unsent = tokio.block_on(context.services.mqtt.close());
    if unsent == 0 {
        return Ok(());
    }
    let brokers = context.services.mqtt.states().into_iter().map(|(_, address, _)| address);
    let address = brokers.collect::<Vec<_>>().join(" or ");
    let some = if unsent == 1 { "1 message was".to_owned() } else { format!("{unsent} messages were") };
    Err(format!("{some} not sent or not acknowledged: no broker answers at {address}"))
}
