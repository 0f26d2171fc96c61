//! The outside world: one file or folder per thing in it. Knows no script.

pub mod clock;
pub mod event_bus;
pub mod files;
pub mod http;
pub mod mqtt;
pub mod routes;
pub mod store;
pub mod sun;
pub mod timers;

/// The handles on the outside world; cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The only one who knows the time.
    pub clock: clock::Clock,
    /// Named events between scripts.
    pub bus: event_bus::EventBus,
    /// Files that change.
    pub files: files::Files,
    /// HTTP out.
    pub http: http::Http,
    /// Brokers.
    pub mqtt: mqtt::Mqtt,
    /// Webhook paths.
    pub routes: routes::Routes,
    /// What outlives the process.
    pub store: store::Store,
    /// Timers that survive a restart.
    pub timers: timers::Timers,
}

impl Services {
    /// Puts the handles together, with brokers of which the first is the default one, in a process that stays or one that comes and goes. Must be called inside the tokio runtime.
    pub fn new(clock: clock::Clock, store: store::Store, brokers: Vec<mqtt::ConnectionSettings>) -> Self {
        Self {
            bus: event_bus::EventBus::with_store(clock.clone(), &store),
            files: files::Files::default(),
            http: http::Http::default(),
            mqtt: mqtt::Mqtt::with_store(brokers, &clock, &store),
            routes: routes::Routes::default(),
            timers: timers::Timers::start(store.clone(), clock.clone()),
            store,
            clock,
        }
    }
}
