//! Mock brokers of a sandbox: embedded brokers in process, with a record of the messages that scripts publish, taken down and up by tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::config::DEFAULT_BROKER;
use crate::services::clock::Clock;
use crate::services::mqtt::{ConnectionSettings, Error, InProcessBroker, InProcessLink, Mqtt, Publish};
use crate::services::store::Store;

/// Mock brokers by name, which outlive the connections to them; cheap to clone.
#[derive(Clone)]
pub(super) struct MockBrokers {
    clock: Clock,
    brokers: Arc<Mutex<BTreeMap<String, MockBroker>>>,
    published: Arc<Mutex<Vec<Published>>>,
}

struct MockBroker {
    broker: InProcessBroker,
    is_down: bool,
}

/// A message that a script published to a mock broker.
#[derive(Debug, Clone)]
pub(super) struct Published {
    /// The time of publishing.
    pub(super) at: Timestamp,
    /// The broker's name.
    pub(super) broker: String,
    /// The message.
    pub(super) publish: Publish,
}

impl MockBrokers {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, brokers: Arc::default(), published: Arc::default() }
    }

    /// Creates clients that are connected, except to brokers that are down. Must be called inside the tokio runtime.
    pub(super) fn clients(&self, settings: Vec<ConnectionSettings>, store: &Store) -> Result<Mqtt, Error> {
        let names: Vec<_> = settings.iter().map(|settings| settings.name.clone()).collect();
        let linked = settings.into_iter().map(|settings| {
            let link = self.link(&settings.name);
            (settings, link)
        });
        let mqtt = Mqtt::in_process(linked, &self.clock, store);
        for name in &names {
            let is_down = self.brokers.lock().get(name).is_some_and(|mock| mock.is_down);
            connect_or_disconnect(&mqtt, name, is_down)?;
        }
        Ok(mqtt)
    }

    /// Takes a broker down, or starts it again without the sessions of its clients; `None`: the default one.
    pub(super) fn set_down(&self, mqtt: &Mqtt, broker: Option<&str>, is_down: bool) -> Result<(), Error> {
        let name = broker.unwrap_or(DEFAULT_BROKER);
        if let Some(mock) = self.brokers.lock().get_mut(name) {
            mock.is_down = is_down;
        }
        connect_or_disconnect(mqtt, name, is_down)
    }

    /// Returns the messages that were published to all brokers, in order.
    pub(super) fn published(&self) -> Vec<Published> {
        self.published.lock().clone()
    }

    /// Returns a link that records the messages that its client publishes.
    fn link(&self, name: &str) -> InProcessLink {
        let new = || MockBroker { broker: InProcessBroker::new(&self.clock), is_down: false };
        let broker = self.brokers.lock().entry(name.to_owned()).or_insert_with(new).broker.clone();
        let (clock, published, name) = (self.clock.clone(), self.published.clone(), name.to_owned());
        InProcessLink::new(broker, move |publish| {
            let message = Published { at: clock.now(), broker: name.clone(), publish: publish.clone() };
            published.lock().push(message);
        })
    }
}

fn connect_or_disconnect(mqtt: &Mqtt, name: &str, is_down: bool) -> Result<(), Error> {
    match is_down {
        true => mqtt.disconnect_in_process(Some(name), "the broker is down"),
        false => mqtt.connect_in_process(Some(name)),
    }
}
