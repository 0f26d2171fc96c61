//! MQTT: one connection per broker for all scripts, and the broker that comes along.

mod ack_spill;
mod client_session;
mod connection;
mod dedup;
mod delivery;
mod embedded;
mod filter_table;
mod inbox;
mod initial_retained;
mod last;
mod message;
mod mock_broker;
mod outbox;
mod pending_acks;
mod persistence;
mod registry;
mod report;
mod settings;
mod subscriber;
mod supervisor;
mod trie;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::delivery::{Delivery, DurablePublish};
pub use self::embedded::{Embedded, EmbeddedError};
pub use self::inbox::Messages;
pub use self::message::{AckToken, Message, Properties, Publish, Retained, SubscribeOptions};
pub use self::mock_broker::{MockBrokers, Published};
pub use self::settings::{BrokerAddress, ConnectionSettings, DEFAULT_BROKER, Protocol, Proxy, client_id};

use self::client_session::ClientSession;
use self::mock_broker::Held;
use self::outbox::Waiter;
use self::pending_acks::AckQueue;
use self::registry::Ready;
use self::supervisor::BrokerClient;
use crate::config::OutboxFull;
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::topic::{Filter, check_topic};

/// What went wrong between us and a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such broker in the config.
    #[error("there is no broker `{0}` in rhaid.yaml")]
    UnknownBroker(String),
    /// The outbox is full while the broker is away.
    #[error("not connected to {broker}, and {waiting} messages wait already")]
    NotConnected {
        /// The broker's name.
        broker: String,
        /// How many wait.
        waiting: usize,
    },
    /// The packet is larger than `mqtt.max_packet`.
    #[error("the message has {size} bytes, {limit} is the limit (`mqtt.max_packet`)")]
    TooLarge {
        /// Bytes of the packet.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The topic is none.
    #[error("{0}")]
    InvalidTopic(String),
    /// A newer message took its place in a full outbox.
    #[error("it gave way to newer messages while the broker was away (`outbox_full`)")]
    Dropped,
    /// It could not be written to disk.
    #[error("a message to the broker can not be kept: {0}")]
    NotStored(String),
    /// The broker said no.
    #[error("the broker refused: {0}")]
    Refused(String),
}

/// How it stands between us and a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Nobody has wanted anything yet.
    Idle,
    /// The connection is being made.
    Connecting,
    /// It stands.
    Connected,
    /// It does not, for this reason; it is tried again.
    Disconnected(String),
    /// It was closed for good.
    Closed,
}

/// A live subscription; given back when dropped.
pub struct Subscription {
    /// What came in.
    pub messages: Messages,
    ready: Ready,
    id: u64,
    client: Arc<BrokerClient>,
}

impl Subscription {
    /// Waits until the broker has confirmed the subscription: from then on no message is missed.
    ///
    /// # Errors
    /// [`Error::Refused`] if the broker does not want us to hear this.
    pub async fn ready(&mut self) -> Result<(), Error> {
        match self.ready.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }
}

impl Subscription {
    /// Wants no more; what has come can still be taken, and ends with `None`.
    pub fn end(&self) {
        self.client.session().registry.remove(self.id, Instant::now());
        self.client.wake();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps connections from beginning until it is dropped.
pub struct ConnectionHold(Mqtt);

impl Drop for ConnectionHold {
    fn drop(&mut self) {
        self.0.0.iter().for_each(|client| client.holds.send_modify(|holds| *holds -= 1));
    }
}

/// Keeps messages back until it is dropped.
pub struct DeliveryPause(Mqtt);

impl Drop for DeliveryPause {
    fn drop(&mut self) {
        self.0.0.iter().for_each(|client| client.session().resume());
    }
}

/// Brokers; cheap to clone.
#[derive(Clone)]
pub struct Mqtt(Arc<[Arc<BrokerClient>]>);

impl Mqtt {
    /// Makes the handle on brokers, of which the first is the default one. Must be called inside the tokio runtime.
    ///
    /// Nothing is connected before a first wish: a subscription or a message.
    pub fn new(brokers: Vec<ConnectionSettings>, clock: &Clock) -> Self {
        Self(brokers.into_iter().map(|settings| start(settings, clock.clone(), None, None)).collect())
    }

    /// Makes the handle like [`Mqtt::new`], and keeps in the store what is promised to be sent. If an earlier process has left something
    /// there, no connection begins before the first [`Mqtt::hold_connections`] has come and gone.
    pub fn with_store(brokers: Vec<ConnectionSettings>, clock: &Clock, store: &Store) -> Self {
        Self(brokers.into_iter().map(|settings| start(settings, clock.clone(), Some(store.clone()), None)).collect())
    }

    /// Wants a filter from now on; the broker is asked again after every reconnect.
    ///
    /// Up to 1,000 messages wait for the subscriber; then those with QoS 0 are dropped, and those with more are not confirmed.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe(
        &self,
        filter: &Filter,
        qos: u8,
        retained: Retained,
        broker: Option<&str>,
    ) -> Result<Subscription, Error> {
        self.subscribe_all(
            std::slice::from_ref(filter),
            SubscribeOptions { qos, retained, ..SubscribeOptions::default() },
            broker,
        )
    }

    /// Wants several filters like [`Mqtt::subscribe`]; a message that more than one matches comes once.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn subscribe_all(
        &self,
        filters: &[Filter],
        options: SubscribeOptions,
        broker: Option<&str>,
    ) -> Result<Subscription, Error> {
        let client = Arc::clone(self.broker(broker)?);
        let (id, messages, ready) = client.session().registry.add(filters, options);
        client.wake();
        Ok(Subscription { messages, ready, id, client })
    }

    /// Sends a message: returns when it is written (QoS 0) or confirmed (QoS 1 and 2).
    ///
    /// While the broker is away it waits in the outbox: at QoS 0 this returns as soon as it is there.
    ///
    /// # Errors
    /// If it can not be taken into the outbox or the broker refuses it.
    pub async fn publish(&self, publish: Publish) -> Result<(), Error> {
        self.send(publish).await?.await
    }

    /// Takes a message into the outbox, from where messages go out in order, and returns a way to wait for the rest.
    ///
    /// Waits for room while the broker is there to make some.
    ///
    /// # Errors
    /// If the topic is none, the message is too large, or the outbox is full while the broker is away.
    pub async fn send(&self, publish: Publish) -> Result<Delivery, Error> {
        let (waiter, outcome) = oneshot::channel();
        self.put(publish, Some(waiter), None).await?;
        Ok(Delivery::new(outcome))
    }

    /// Takes a message for good, and returns ways to wait until it is on disk and until the broker has it: once on disk, at QoS 1 and 2,
    /// it goes out whatever happens to this process. QoS 0 waits for nothing.
    ///
    /// # Errors
    /// As [`Mqtt::send`].
    pub async fn publish_durable(&self, publish: Publish) -> Result<DurablePublish, Error> {
        let ((keeper, kept), (waiter, confirmed)) = (oneshot::channel(), oneshot::channel());
        self.put(publish, Some(waiter), Some(keeper)).await?;
        Ok(DurablePublish { stored: Delivery::new(kept), acknowledged: Delivery::new(confirmed) })
    }

    async fn put(&self, publish: Publish, waiter: Option<Waiter>, keeper: Option<Waiter>) -> Result<(), Error> {
        let client = self.broker(publish.broker.as_deref())?;
        check_topic(&publish.topic).map_err(Error::InvalidTopic)?;
        let limit = client.settings.max_packet;
        if publish.size() > limit {
            return Err(Error::TooLarge { size: publish.size() as u64, limit: limit as u64 });
        }
        loop {
            let room = client.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let is_away = matches!(*client.state.borrow(), ConnectionState::Disconnected(_) | ConnectionState::Closed);
            {
                let mut session = client.session();
                if session.outbox.is_full() && is_away && client.settings.outbox_full == OutboxFull::DropOldest {
                    session.drop_oldest();
                }
                if !session.outbox.is_full() {
                    take(client, &mut session, publish, waiter, keeper);
                    drop(session);
                    client.wake();
                    return Ok(());
                }
                if is_away {
                    let broker = client.settings.name.clone();
                    return Err(Error::NotConnected { broker, waiting: session.outbox.waiting() });
                }
            }
            // A connection that breaks meanwhile ends the wait, too.
            let mut state = client.state.subscribe();
            tokio::select! {
                () = room => {}
                _ = state.wait_for(|state| matches!(state, ConnectionState::Disconnected(_) | ConnectionState::Closed)) => {}
            }
        }
    }

    /// Has written to disk at once what was promised and waits for company there: something stands still until it is.
    pub fn flush_now(&self) {
        for client in self.0.iter() {
            client.session().outbox.press();
            client.keep.notify_one();
        }
    }

    /// Returns whether a broker is connected now; `None`: the default one.
    pub fn is_connected(&self, broker: Option<&str>) -> bool {
        self.broker(broker).is_ok_and(|client| *client.state.borrow() == ConnectionState::Connected)
    }

    /// Returns the last message seen on a topic.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn last(&self, topic: &str, broker: Option<&str>) -> Result<Option<Message>, Error> {
        Ok(self.broker(broker)?.session().last.get(topic))
    }

    /// Returns the brokers' names and addresses and how it stands with them.
    pub fn states(&self) -> Vec<(String, String, ConnectionState)> {
        let all = self.0.iter();
        all.map(|client| (client.settings.name.clone(), client.settings.url(), client.state.borrow().clone())).collect()
    }

    /// Wants a broker to be connected, `None`: the default one; returns its name and how it stands with it, from now on.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn watch_connection(&self, broker: Option<&str>) -> Result<(String, watch::Receiver<ConnectionState>), Error> {
        let client = self.broker(broker)?;
        client.session().is_wanted = true;
        client.wake();
        Ok((client.settings.name.clone(), client.state.subscribe()))
    }

    /// Waits until the default broker is connected. For tests and for those who must not begin before.
    pub async fn connected(&self) {
        if let Some(client) = self.0.first() {
            // The sender lives as long as this handle.
            let _ = client.state.subscribe().wait_for(|state| *state == ConnectionState::Connected).await;
        }
    }

    /// Begins no connection until the hold is dropped: a broker sends what it has kept for us at once, and not to nobody.
    #[must_use]
    pub fn hold_connections(&self) -> ConnectionHold {
        for client in self.0.iter().filter(|client| !client.is_born_held.swap(false, Ordering::AcqRel)) {
            client.holds.send_modify(|holds| *holds += 1);
        }
        ConnectionHold(self.clone())
    }

    /// Keeps messages back until the pause is dropped, so that who takes another's place misses none and has none twice.
    #[must_use]
    pub fn pause_delivery(&self) -> DeliveryPause {
        self.0.iter().for_each(|client| client.session().pause());
        DeliveryPause(self.clone())
    }

    /// Confirms from now on only messages whose receipts are settled: the others come again after the restart. Call it when stopping begins.
    pub fn begin_shutdown(&self) {
        self.0.iter().for_each(|client| client.acks.begin_shutdown());
    }

    /// Sends what still waits, for at most two seconds, says goodbye to the brokers and ends; returns how many messages are left.
    pub async fn close(&self) -> usize {
        self.begin_shutdown();
        for client in self.0.iter() {
            client.close.cancel();
        }
        let mut unsent = 0;
        for client in self.0.iter() {
            // The sender lives as long as this handle.
            let _ = client.state.subscribe().wait_for(|state| *state == ConnectionState::Closed).await;
            unsent += client.session().outbox.unsent();
        }
        unsent
    }

    fn broker(&self, name: Option<&str>) -> Result<&Arc<BrokerClient>, Error> {
        let found = match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|client| client.settings.name == name),
        };
        found.ok_or_else(|| Error::UnknownBroker(name.unwrap_or(DEFAULT_BROKER).to_owned()))
    }
}

fn start(
    settings: ConnectionSettings,
    clock: Clock,
    store: Option<Store>,
    held: Option<Arc<Held>>,
) -> Arc<BrokerClient> {
    let acks = Arc::new(AckQueue::default());
    let mut session = ClientSession::new(&settings, Arc::clone(&acks));
    session.registry.clock = held.is_some().then(|| clock.clone());
    if let Some(store) = &store {
        let letters = |name: &str| {
            store.outbox(name).unwrap_or_else(|error| {
                tracing::error!(why = %error, "the messages to and from a broker that were kept can not be read");
                Vec::new()
            })
        };
        session.outbox.restore(letters(&settings.name));
        session.restore(letters(&ack_spill::name(&settings.name)));
    }
    // Who has something to send connects at once, and would hear what the broker kept for scripts that do not live yet.
    let is_born_held = held.is_none() && (!session.outbox.is_empty() || session.has_left());
    let client = Arc::new(BrokerClient {
        settings,
        clock,
        session: Mutex::new(session),
        acks,
        state: watch::Sender::new(ConnectionState::Idle),
        room: Notify::new(),
        close: CancellationToken::new(),
        keep: Notify::new(),
        holds: watch::Sender::new(usize::from(is_born_held)),
        is_born_held: AtomicBool::new(is_born_held),
        held,
        keeping: Mutex::default(),
    });
    tokio::spawn(supervisor::run(Arc::clone(&client), store));
    client
}

fn take(
    client: &BrokerClient,
    session: &mut ClientSession,
    publish: Publish,
    waiter: Option<Waiter>,
    keeper: Option<Waiter>,
) {
    let is_away = matches!(*client.state.borrow(), ConnectionState::Disconnected(_) | ConnectionState::Closed);
    // While the broker is away nobody waits for what has QoS 0.
    let waiter = match waiter {
        Some(waiter) if publish.qos == 0 && is_away => {
            let _ = waiter.send(Ok(()));
            None
        }
        waiter => waiter,
    };
    session.outbox.push(publish, waiter, keeper);
    if session.has_changes() {
        client.keep.notify_one();
    }
}

#[cfg(test)]
mod tests;
