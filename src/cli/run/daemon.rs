//! Everything that runs: opened together or not at all, closed in order.

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

/// Everything that runs.
pub(super) struct Daemon {
    services: Services,
    runtime: Runtime,
    broker: Option<Embedded>,
    web: web::Server,
    control: control::Server,
}

/// What must be there before the first script is loaded.
struct Resources {
    store: Store,
    broker: Option<Embedded>,
    web: web::BoundServer,
}

impl Daemon {
    /// Opens everything; says what runs where.
    ///
    /// # Errors
    /// [`UsageError`], with all that stands in the way.
    pub(super) async fn open(
        config: &Arc<Config>,
        clock: Clock,
        files: Files,
        log_store: LogStore,
    ) -> anyhow::Result<Self> {
        info!("rhaid {} starts with the scripts in {}", env!("CARGO_PKG_VERSION"), config.scripts.display());
        let Resources { store, broker, web } = Resources::prepare(config).await?;
        let embedded = broker.as_ref().map_or(config.mqtt.embedded.listen, Embedded::address);
        let brokers = environment::brokers(config, embedded)?;
        let services = Services::builder(clock, store).brokers(brokers).files(files).build();
        if broker.as_ref().is_some_and(Embedded::is_in_process) {
            info!("the embedded broker listens on {embedded}");
        }
        info!("webhooks are at http://{}/hooks/", web.address());
        let runtime = match Runtime::start_with(config.clone(), services.clone(), log_store).await {
            Ok(runtime) => runtime,
            Err(error @ StartError::Bindings(_)) => return Err(UsageError(error.to_string()).into()),
        };
        let web = web.serve(services.routes.clone());
        let control = control::Server::start(&config.data, runtime.clone())
            .with_context(|| format!("listening for commands in {}", config.data.display()))?;
        say_what_lives(&runtime.list().await);
        Ok(Self { services, runtime, broker, web, control })
    }

    /// Returns the moving parts.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Closes everything: first what brings events, last what keeps what came of them.
    pub(super) async fn close(self) {
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
        // The broker keeps its files in the data folder, so that has to be ours first.
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

/// Takes what is there, or notes why it is not.
fn take<T, E: fmt::Display>(result: Result<T, E>, wrong: &mut Vec<String>) -> Option<T> {
    result.map_err(|why| wrong.push(why.to_string())).ok()
}

/// How many scripts are named.
const NAMED: usize = 12;

fn say_what_lives(scripts: &[Listed]) {
    let names: Vec<_> = scripts.iter().filter(|script| script.version > 0).map(|script| script.name.as_str()).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => info!("no script is live yet: put one into the folder"),
        1 => info!("1 script is live: {named}"),
        count => info!("{count} scripts are live: {named}{more}"),
    }
}
