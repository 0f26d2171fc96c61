//! Services for time, files, HTTP, MQTT and storage: one file or folder each. Knows nothing about scripts.

pub mod clock;
pub mod event_bus;
pub mod files;
pub mod http;
pub mod mqtt;
pub mod routes;
pub mod store;
pub mod sun;
pub mod timers;

use self::clock::Clock;
use self::event_bus::EventBus;
use self::files::Files;
use self::http::Http;
use self::mqtt::Mqtt;
use self::routes::Routes;
use self::store::Store;
use self::timers::Timers;
use crate::event::{Ack, Settlement};

/// Handles of all services; cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The only source of the current time.
    pub clock: Clock,
    /// Named events between scripts.
    pub bus: EventBus,
    /// File watcher.
    pub files: Files,
    /// HTTP client.
    pub http: Http,
    /// MQTT clients, one per broker.
    pub mqtt: Mqtt,
    /// Paths of webhooks.
    pub routes: Routes,
    /// Persistent storage.
    pub store: Store,
    /// Timers that survive a restart.
    pub timers: Timers,
}

impl Services {
    /// Returns a builder with the real file watcher, HTTP client and MQTT clients, and without brokers.
    pub fn builder(clock: Clock, store: Store) -> ServicesBuilder {
        ServicesBuilder { clock, store, brokers: Vec::new(), files: None, http: None, mqtt: None }
    }

    /// Settles a finished event with its source.
    pub fn settle(&self, ack: &Ack, settlement: Settlement) {
        match (ack, settlement) {
            (Ack::Timer(key), Settlement::Ack) => self.timers.acknowledge(key),
            (Ack::Emitted(number), Settlement::Ack) => self.store.acknowledge_event(*number),
            (Ack::Sender(sender), Settlement::Ack) => sender.ack(),
            (Ack::Sender(sender), Settlement::Nack) => sender.nack(),
            // The store delivers timers and emitted events again after the next start.
            (Ack::Timer(_) | Ack::Emitted(_), Settlement::Nack) => {}
        }
    }
}

/// Builder of [`Services`].
pub struct ServicesBuilder {
    clock: Clock,
    store: Store,
    brokers: Vec<mqtt::ConnectionSettings>,
    files: Option<Files>,
    http: Option<Http>,
    mqtt: Option<Mqtt>,
}

impl ServicesBuilder {
    /// Sets the MQTT brokers, of which the first is the default one.
    #[must_use]
    pub fn brokers(self, brokers: Vec<mqtt::ConnectionSettings>) -> Self {
        Self { brokers, ..self }
    }

    /// Replaces the file watcher.
    #[must_use]
    pub fn files(self, files: Files) -> Self {
        Self { files: Some(files), ..self }
    }

    /// Replaces the HTTP client.
    #[must_use]
    pub fn http(self, http: Http) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Replaces the MQTT clients; [`ServicesBuilder::brokers`] has no effect then.
    #[must_use]
    pub fn mqtt(self, mqtt: Mqtt) -> Self {
        Self { mqtt: Some(mqtt), ..self }
    }

    /// Builds the services and starts their tasks. Must be called inside a tokio runtime.
    pub fn build(self) -> Services {
        let Self { clock, store, brokers, files, http, mqtt } = self;
        Services {
            bus: EventBus::with_store(clock.clone(), &store),
            files: files.unwrap_or_default(),
            http: http.unwrap_or_default(),
            mqtt: mqtt.unwrap_or_else(|| Mqtt::with_store(brokers, &clock, &store)),
            routes: Routes::default(),
            timers: Timers::start(store.clone(), clock.clone()),
            store,
            clock,
        }
    }
}
