//! Everything that runs: opened together or not at all, closed in order.

use std::fmt;
use std::sync::Arc;

use tracing::info;

use crate::cli::exit::Wrong;
use crate::cli::world;
use crate::config::Config;
use crate::control;
use crate::runtime::{Runtime, StartError};
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::mqtt::Embedded;
use crate::services::store::Store;

/// Everything that runs.
pub(super) struct House {
    services: Services,
    runtime: Runtime,
    broker: Option<Embedded>,
    control: control::Server,
}

/// What must be there before the first script is loaded.
struct Ground {
    store: Store,
    broker: Option<Embedded>,
}

impl House {
    /// Opens everything; says what runs where.
    ///
    /// # Errors
    /// [`Wrong`], with all that stands in the way.
    pub(super) async fn open(config: &Arc<Config>, clock: Clock) -> anyhow::Result<Self> {
        let Ground { store, broker } = Ground::prepare(config).await?;
        let embedded = broker.as_ref().map_or(config.mqtt.embedded.listen, Embedded::address);
        let settings = world::broker(config, embedded)?;
        let address = settings.address().to_string();
        let services = Services::new(clock, store, settings);
        say_where(config, broker.as_ref(), &address);
        let runtime = match Runtime::start(config.clone(), services.clone()).await {
            Ok(runtime) => runtime,
            Err(error @ StartError::Bindings(_)) => return Err(Wrong(error.to_string()).into()),
        };
        let control = control::Server::start(&config.data, runtime.clone())?;
        Ok(Self { services, runtime, broker, control })
    }

    /// Returns the handles on the outside world.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// Returns the moving parts.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Closes everything: first what brings events, last what keeps what came of them.
    pub(super) async fn close(self) {
        drop(self.control);
        self.services.mqtt.retire();
        self.runtime.stop().await;
        self.services.mqtt.close().await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}

impl Ground {
    async fn prepare(config: &Config) -> Result<Self, Wrong> {
        let mut wrong = Vec::new();
        let store = take(Store::open(&config.data), "the data folder", &mut wrong);
        // The broker keeps its files in the data folder, so that has to be ours first.
        let broker = match (&config.mqtt.url, &store) {
            (None, Some(_)) => take(Embedded::start(&config.mqtt, &config.data).await, "mqtt.embedded", &mut wrong),
            _ => None,
        };
        match store {
            Some(store) if wrong.is_empty() => Ok(Self { store, broker }),
            _ => Err(Wrong(format!("nothing was started\n\n{}", wrong.join("\n")))),
        }
    }
}

/// Takes what is there, or notes why it is not.
fn take<T, E: fmt::Display>(result: Result<T, E>, what: &str, wrong: &mut Vec<String>) -> Option<T> {
    result.map_err(|why| wrong.push(format!("  {what}: {why}"))).ok()
}

fn say_where(config: &Config, broker: Option<&Embedded>, address: &str) {
    let broker = match broker {
        Some(broker) if broker.is_ours() => format!("its own broker on {address}"),
        Some(_) => format!("the broker that was there already on {address}"),
        None => format!("the broker {address}"),
    };
    info!("rhaid {} runs the scripts in {}", env!("CARGO_PKG_VERSION"), config.scripts.display());
    info!("with {broker}");
}
