//! The handle on all brokers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::DEFAULT_BROKER;
use crate::event::ReceivedMessage;
use crate::services::clock::Clock;
use crate::services::mqtt::ack_queue::AckQueue;
use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::connection_state::ConnectionState;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::holds::{ConnectionHold, DeliveryPause};
use crate::services::mqtt::in_process_link::InProcessLink;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::submissions::Submissions;
use crate::services::mqtt::{ack_spill, supervisor};
use crate::services::store::Store;

/// The MQTT clients of all brokers; cheap to clone.
#[derive(Clone)]
pub struct Mqtt(Arc<[Arc<BrokerClient>]>);

impl Mqtt {
    /// Creates one client per broker; the first is the default broker. Must be called inside the tokio runtime.
    ///
    /// A connection is opened once there is a subscription or a message.
    pub fn new(brokers: Vec<ConnectionSettings>, clock: &Clock) -> Self {
        Self::from_clients(brokers.into_iter().map(|settings| start(settings, clock.clone(), None, None)))
    }

    /// Creates clients like [`Mqtt::new`] that keep durable messages in the store. If an earlier process has left messages there, no
    /// connection is opened before the first [`Mqtt::hold_connections`] has been dropped.
    pub fn with_store(brokers: Vec<ConnectionSettings>, clock: &Clock, store: &Store) -> Self {
        let start = |settings| start(settings, clock.clone(), Some(store.clone()), None);
        Self::from_clients(brokers.into_iter().map(start))
    }

    pub(super) fn from_clients(clients: impl Iterator<Item = Arc<BrokerClient>>) -> Self {
        Self(clients.collect())
    }

    /// Returns whether a broker is connected; `None`: the default one.
    pub fn is_connected(&self, broker: Option<&str>) -> bool {
        self.broker(broker).is_ok_and(|client| *client.state.borrow() == ConnectionState::Connected)
    }

    /// Returns the last message received on a topic.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn last(&self, topic: &str, broker: Option<&str>) -> Result<Option<Arc<ReceivedMessage>>, Error> {
        Ok(self.broker(broker)?.session().last_values.get(topic))
    }

    /// Returns the name, the URL and the connection state of each broker.
    pub fn states(&self) -> Vec<(String, String, ConnectionState)> {
        let all = self.0.iter();
        all.map(|client| (client.settings.name.clone(), client.settings.url(), client.state.borrow().clone())).collect()
    }

    /// Connects to a broker (`None`: the default one) even without subscriptions; returns its name and its connection state as it changes.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn watch_connection(&self, broker: Option<&str>) -> Result<(String, watch::Receiver<ConnectionState>), Error> {
        let client = self.broker(broker)?;
        client.session().is_watched = true;
        client.wake();
        Ok((client.settings.name.clone(), client.state.subscribe()))
    }

    /// Waits until the default broker is connected.
    pub async fn connected(&self) {
        if let Some(client) = self.0.first() {
            // The sender lives as long as this handle.
            let _ = client.state.subscribe().wait_for(|state| *state == ConnectionState::Connected).await;
        }
    }

    /// Opens no connection until the hold is dropped: a broker sends queued messages right after CONNACK, and all subscribers must exist
    /// by then.
    #[must_use]
    pub fn hold_connections(&self) -> ConnectionHold {
        ConnectionHold::new(Arc::clone(&self.0))
    }

    /// Buffers incoming messages until the pause is dropped, so that a subscriber that replaces another misses none and gets none twice.
    #[must_use]
    pub fn pause_delivery(&self) -> DeliveryPause {
        DeliveryPause::new(Arc::clone(&self.0))
    }

    /// From now on acknowledges only messages with an explicit [`SenderAck::ack`](crate::event::SenderAck::ack): the broker sends the others again
    /// after the restart. Called when shutdown begins.
    pub fn begin_shutdown(&self) {
        self.0.iter().for_each(|client| client.acks.begin_shutdown());
    }

    /// Sends the messages in the outbox for at most two seconds, disconnects and ends; returns how many messages were not sent.
    pub async fn close(&self) -> usize {
        self.begin_shutdown();
        for client in self.0.iter() {
            client.shutdown.cancel();
        }
        let mut unsent = 0;
        for client in self.0.iter() {
            // The sender lives as long as this handle.
            let _ = client.state.subscribe().wait_for(|state| *state == ConnectionState::Closed).await;
            unsent += client.session().outbox.unsent();
        }
        unsent
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Arc<BrokerClient>> {
        self.0.iter()
    }

    pub(super) fn broker(&self, name: Option<&str>) -> Result<&Arc<BrokerClient>, Error> {
        let found = match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|client| client.settings.name == name),
        };
        found.ok_or_else(|| Error::UnknownBroker(name.unwrap_or(DEFAULT_BROKER).to_owned()))
    }
}

/// Creates the client of a broker and spawns its supervisor.
pub(super) fn start(
    settings: ConnectionSettings,
    clock: Clock,
    store: Option<Store>,
    in_process: Option<InProcessLink>,
) -> Arc<BrokerClient> {
    let acks = Arc::new(AckQueue::default());
    let mut session = ClientSession::new(&settings, Arc::clone(&acks));
    session.registry.clock = in_process.is_some().then(|| clock.clone());
    if let Some(store) = &store {
        let records = |queue: &str| {
            store.outbox(queue).unwrap_or_else(|error| {
                tracing::error!(why = %error, "the stored messages to and from a broker cannot be read");
                Vec::new()
            })
        };
        session.outbox.restore(records(&settings.name));
        session.restore_spilled(records(&ack_spill::queue_name(&settings.name)));
    }
    // A stored message connects at once, and the broker would send queued messages before scripts have subscribed.
    let has_startup_hold = in_process.is_none() && (!session.outbox.is_empty() || session.has_restored());
    let client = Arc::new(BrokerClient {
        settings,
        clock,
        session: Mutex::new(session),
        submissions: Submissions::default(),
        delivery_order: Mutex::default(),
        acks,
        state: watch::Sender::new(ConnectionState::Idle),
        outbox_room: Notify::new(),
        shutdown: CancellationToken::new(),
        writes_pending: Notify::new(),
        holds: watch::Sender::new(usize::from(has_startup_hold)),
        has_startup_hold: AtomicBool::new(has_startup_hold),
        in_process,
        write_activity: Mutex::default(),
    });
    tokio::spawn(supervisor::run(Arc::clone(&client), store));
    client
}
