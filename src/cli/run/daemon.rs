//! The services and servers of `rhaid run`: started together or not at all, stopped in order.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use tracing::info;

use crate::cli::environment;
use crate::cli::exit::UsageError;
use crate::config::Config;
use crate::control;
use crate::runtime::{Listed, LogStore, Runtime, StartError};
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::files::Files;
use crate::services::mqtt::Embedded;
use crate::services::store::Store;
use crate::web;

/// The running services and servers.
pub(super) struct Daemon {
    services: Services,
    runtime: Runtime,
    broker: Option<Embedded>,
    web: web::Server,
    control: control::Server,
}

/// Resources that must be available before the first script is loaded.
struct Resources {
    store: Store,
    broker: Option<Embedded>,
    web: web::BoundServer,
}

impl Daemon {
    /// Starts everything and logs the addresses.
    ///
    /// # Errors
    /// [`UsageError`] with all unavailable resources.
    pub(super) async fn start(
        config: &Arc<Config>,
        clock: Clock,
        files: Files,
        log_store: LogStore,
    ) -> anyhow::Result<Self> {
        info!("rhaid {} starts with the scripts in {}", env!("CARGO_PKG_VERSION"), config.scripts.display());
        let Resources { store, broker, web } = Resources::prepare(config).await?;
        let embedded = broker.as_ref().map_or(config.mqtt.embedded.listen.into(), Embedded::endpoint);
        let address = embedded.address;
        let brokers = environment::brokers(config, embedded)?;
        let services = Services::builder(clock, store).brokers(brokers).files(files).build();
        if broker.as_ref().is_some_and(Embedded::is_in_process) {
            info!("the embedded broker listens on {address}");
        }
        info!("webhooks are at http://{}/hooks/", web.address());
        let runtime = match Runtime::start_with(config.clone(), services.clone(), log_store).await {
            Ok(runtime) => runtime,
            Err(error @ StartError::Bindings(_)) => return Err(UsageError(error.to_string()).into()),
        };
        let web = web.serve(services.routes.clone())?;
        let control = control::Server::start(&config.data, runtime.clone())
            .with_context(|| format!("listening for commands in {}", config.data.display()))?;
        log_live_scripts(&runtime.list().await);
        Ok(Self { services, runtime, broker, web, control })
    }

    /// Returns the runtime.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Stops everything: the sources of events first, the embedded broker last.
    pub(super) async fn stop(self) {
        drop(self.control);
        self.services.mqtt.begin_shutdown();
        self.web.stop().await;
        self.runtime.stop().await;
        self.services.mqtt.close().await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}

impl Resources {
    async fn prepare(config: &Config) -> Result<Self, UsageError> {
        let mut wrong = Vec::new();
        let store = take(Store::open(&config.data), &mut wrong);
        let web = take(web::BoundServer::bind(config.web.listen).await, &mut wrong);
        // The broker stores its files in the data folder, which the store must have locked first.
        let broker = match (config.mqtt.wants_embedded(), &store) {
            (true, Some(_)) => take(Embedded::start(&config.mqtt, &config.data).await, &mut wrong),
            _ => None,
        };
        match (store, web) {
            (Some(store), Some(web)) if wrong.is_empty() => Ok(Self { store, broker, web }),
            _ => Err(UsageError(format!("nothing was started\n{}", wrong.join("\n")))),
        }
    }
}

/// Returns the value, or adds the error to the list.
fn take<T, E: fmt::Display>(result: Result<T, E>, wrong: &mut Vec<String>) -> Option<T> {
    result.map_err(|why| wrong.push(why.to_string())).ok()
}

/// Maximum number of script names in the log line.
const NAMED: usize = 12;

fn log_live_scripts(scripts: &[Listed]) {
    let names: Vec<_> = scripts.iter().filter(|script| script.version > 0).map(|script| script.name.as_str()).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => info!("no script is live: add one to the folder"),
        1 => info!("1 script is live: {named}"),
        count => info!("{count} scripts are live: {named}{more}"),
    }
}
