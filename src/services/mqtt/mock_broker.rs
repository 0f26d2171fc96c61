//! Brokers of a held world: they live in this process, answer at once and in order, and are there or away as they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::memory;
use crate::services::clock::ActivityGuard;
use crate::services::clock::Clock;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::supervisor::BrokerClient;
use crate::services::mqtt::wire::{ConnAck, Frame, Incoming, IncomingPublish, Outgoing, SubscribeFilter, properties};
use crate::services::mqtt::{ConnectionSettings, ConnectionState, Error, Mqtt, start};
use crate::services::store::Store;
use crate::topic::{Filter, check_topic};

/// Brokers that outlive those who are connected to them; cheap to clone.
#[derive(Clone, Default)]
pub struct MockBrokers(Arc<Mutex<BTreeMap<String, Arc<Held>>>>);

/// A message that a broker got from us.
#[derive(Debug, Clone)]
pub struct Published {
    /// When.
    pub at: Timestamp,
    /// The broker's name.
    pub broker: String,
    /// The message.
    pub publish: Publish,
}

/// One broker.
#[derive(Default)]
pub(super) struct Held {
    desk: Mutex<Desk>,
    /// One at a time is answered, so that messages stay in order.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Desk {
    is_away: bool,
    retained: BTreeMap<String, Publish>,
    published: Vec<Published>,
    subscribed: Vec<(Filter, SubscribeFilter)>,
    last_id: u16,
}

impl MockBrokers {
    fn broker(&self, name: &str) -> Arc<Held> {
        let mut brokers = self.0.lock();
        brokers.entry(name.to_owned()).or_default().clone()
    }

    /// Returns what the brokers got from us, in order.
    pub fn published(&self) -> Vec<Published> {
        let brokers = self.0.lock();
        let mut all: Vec<_> = brokers.values().flat_map(|held| held.desk().published.clone()).collect();
        all.sort_by_key(|published| published.at);
        all
    }
}

impl Mqtt {
    /// Makes the handle on brokers of a held world. Must be called inside the tokio runtime.
    pub fn held(settings: Vec<ConnectionSettings>, clock: &Clock, store: &Store, brokers: &MockBrokers) -> Self {
        let connect = |settings: ConnectionSettings| {
            let held = brokers.broker(&settings.name);
            held.desk().subscribed.clear();
            let client = start(settings, clock.clone(), Some(store.clone()), Some(held.clone()));
            if !held.desk().is_away {
                held.connect(&client);
            }
            client
        };
        Self(settings.into_iter().map(connect).collect())
    }

    /// Lets a message come, as if another client had published it.
    ///
    /// # Errors
    /// If there is no such broker, it is away, or the topic is none.
    pub fn bring(&self, publish: Publish) -> Result<(), Error> {
        let client = self.broker(publish.broker.as_deref())?;
        check_topic(&publish.topic).map_err(Error::InvalidTopic)?;
        let Some(held) = &client.held else { return Ok(()) };
        if held.desk().is_away {
            return Err(Error::NotConnected { broker: client.settings.name.clone(), waiting: 0 });
        }
        held.tell(&publish, false, client);
        held.pump(client);
        Ok(())
    }

    /// Lets a broker be away, or come back without its memory of us.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`].
    pub fn set_away(&self, broker: Option<&str>, is_away: bool) -> Result<(), Error> {
        let client = self.broker(broker)?;
        let Some(held) = &client.held else { return Ok(()) };
        if std::mem::replace(&mut held.desk().is_away, is_away) == is_away {
            return Ok(());
        }
        if is_away {
            held.desk().subscribed.clear();
            client.session().outbox.disconnected();
            client.state.send_replace(ConnectionState::Disconnected("the broker is down".into()));
        } else {
            held.connect(client);
            held.pump(client);
        }
        Ok(())
    }
}

impl Held {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock()
    }

    fn connect(&self, client: &BrokerClient) {
        client.session().connected(&ConnAck { has_subscription_ids: true, ..ConnAck::default() });
        client.state.send_replace(ConnectionState::Connected);
    }

    /// Takes and answers all that is to be sent.
    pub(super) fn pump(&self, client: &BrokerClient) {
        // What a world remembers is no memory of the run that happens to bring it.
        memory::uncounted(|| self.take_all(client));
    }

    fn take_all(&self, client: &BrokerClient) {
        let _turn = self.turn.lock();
        while !self.desk().is_away {
            let Some(packet) = client.session().outgoing() else { break };
            self.take(packet, client);
        }
        client.room.notify_waiters();
        if client.session().has_changes() {
            client.keeping().get_or_insert_with(|| client.clock.activity());
            client.keep.notify_one();
        }
    }

    fn take(&self, packet: Outgoing, client: &BrokerClient) {
        let answer = |packet: Incoming| {
            // Nothing that this broker sends is malformed.
            let _ = client.session().incoming(Frame::Packet(packet), client.clock.now());
        };
        match packet {
            Outgoing::Publish { publish, id, .. } => {
                self.note(&publish, client);
                match publish.qos {
                    0 => client.session().outbox.written(),
                    1 => answer(Incoming::PubAck { id, refused: None }),
                    _ => answer(Incoming::PubRec { id, refused: None }),
                }
                self.tell(&publish, true, client);
            }
            Outgoing::PubRel(id) => answer(Incoming::PubComp(id)),
            Outgoing::PubRec(id) => answer(Incoming::PubRel(id)),
            Outgoing::Subscribe { id, filters: wanted } => {
                answer(Incoming::SubAck { id, granted: wanted.iter().map(|wanted| Ok(wanted.qos)).collect() });
                wanted.into_iter().for_each(|wanted| self.subscribe(wanted, client));
            }
            Outgoing::Unsubscribe { id, filters } => {
                self.desk().subscribed.retain(|(_, wanted)| !filters.contains(&wanted.filter));
                answer(Incoming::UnsubAck(id));
            }
            Outgoing::PubAck(_) | Outgoing::PubComp(_) | Outgoing::PingReq | Outgoing::Disconnect => {}
        }
    }

    fn note(&self, publish: &Publish, client: &BrokerClient) {
        let broker = client.settings.name.clone();
        let published = Published { at: client.clock.now(), broker, publish: publish.clone() };
        self.desk().published.push(published);
    }

    fn subscribe(&self, wanted: SubscribeFilter, client: &BrokerClient) {
        let Ok(filter) = Filter::parse(&wanted.filter) else { return };
        let kept: Vec<Publish> = match wanted.send_retained {
            true => {
                self.desk().retained.values().filter(|kept| filter.matches(&kept.topic).is_some()).cloned().collect()
            }
            false => Vec::new(),
        };
        let subscription_ids: Vec<u32> = wanted.subscription_id.into_iter().collect();
        let qos = wanted.qos;
        {
            let mut desk = self.desk();
            desk.subscribed.retain(|(_, other)| other.filter != wanted.filter);
            desk.subscribed.push((filter, wanted));
        }
        for publish in kept {
            self.send(&publish, qos, true, subscription_ids.clone(), client);
        }
    }

    /// Keeps a message if it is to be kept, and sends it to us if we want it.
    fn tell(&self, publish: &Publish, is_ours: bool, client: &BrokerClient) {
        let qos = {
            let mut desk = self.desk();
            match (publish.retain, publish.payload.is_empty()) {
                (true, true) => drop(desk.retained.remove(&publish.topic)),
                (true, false) => drop(desk.retained.insert(publish.topic.clone(), publish.clone())),
                (false, _) => {}
            }
            let fitting = desk
                .subscribed
                .iter()
                .filter(|(filter, wanted)| filter.matches(&publish.topic).is_some() && !(is_ours && wanted.no_local));
            fitting.map(|(_, wanted)| wanted.qos).max()
        };
        if let Some(qos) = qos {
            self.send(publish, qos, false, Vec::new(), client);
        }
    }

    fn send(&self, publish: &Publish, qos: u8, retain: bool, subscription_ids: Vec<u32>, client: &BrokerClient) {
        let qos = publish.qos.min(qos);
        let id = match qos {
            0 => 0,
            _ => {
                let mut desk = self.desk();
                desk.last_id = desk.last_id.checked_add(1).unwrap_or(1);
                desk.last_id
            }
        };
        let arrived = IncomingPublish {
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos,
            retain,
            id,
            subscription_ids,
            properties: publish.properties.as_deref().map(|known| properties(known.clone())).unwrap_or_default(),
            ..IncomingPublish::default()
        };
        // Nothing that this broker sends is malformed.
        let _ = client.session().incoming(Frame::Packet(Incoming::Publish(arrived)), client.clock.now());
    }
}

impl BrokerClient {
    /// Says that something is to be sent: to the task of the connection, or to the broker of a held world, which answers at once.
    pub(super) fn wake(&self) {
        match &self.held {
            None => self.acks.wake(),
            Some(held) => held.pump(self),
        }
    }

    /// Holds the clock of a held world until what is to be written is on disk.
    pub(super) fn keeping(&self) -> MutexGuard<'_, Option<ActivityGuard>> {
        self.keeping.lock()
    }
}

impl Published {
    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.publish.payload
    }
}
