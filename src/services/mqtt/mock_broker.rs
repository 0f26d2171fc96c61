//! Brokers of a held world: they live in this process, answer at once and in order, and are there or away as they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::services::clock::Clock;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::wire::{ConnAck, Frame, Incoming, IncomingPublish, Outgoing, SubscribeFilter, property_map};
use crate::topic::Filter;

/// Brokers that outlive those who are connected to them; cheap to clone.
#[derive(Clone, Default)]
pub struct MockBrokers(Arc<Mutex<BTreeMap<String, Arc<MockBroker>>>>);

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
pub(super) struct MockBroker {
    desk: Mutex<Desk>,
    /// One at a time is answered, so that messages stay in order.
    turn: Mutex<()>,
}

/// The client's side of a connection to a mock broker.
pub(super) struct MockPeer<'a> {
    pub(super) session: &'a Mutex<ClientSession>,
    pub(super) clock: &'a Clock,
    /// The broker's name.
    pub(super) name: &'a str,
}

impl MockPeer<'_> {
    fn session(&self) -> MutexGuard<'_, ClientSession> {
        self.session.lock()
    }
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
    pub(super) fn broker(&self, name: &str) -> Arc<MockBroker> {
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

impl MockBroker {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock()
    }

    /// Accepts the client's connection, in a new session.
    pub(super) fn connect(&self, client: &MockPeer<'_>) {
        client.session().connected(&ConnAck { has_subscription_ids: true, ..ConnAck::default() });
    }

    pub(super) fn is_away(&self) -> bool {
        self.desk().is_away
    }

    /// Sets whether the broker is away; returns whether it was.
    pub(super) fn set_away(&self, is_away: bool) -> bool {
        std::mem::replace(&mut self.desk().is_away, is_away)
    }

    /// Forgets the client's subscriptions.
    pub(super) fn forget_subscriptions(&self) {
        self.desk().subscribed.clear();
    }

    /// Takes and answers all packets that the client has to send.
    pub(super) fn exchange(&self, client: &MockPeer<'_>) {
        let _turn = self.turn.lock();
        while !self.desk().is_away {
            let Some(packet) = client.session().outgoing() else { break };
            self.take(packet, client);
        }
    }

    fn take(&self, packet: Outgoing, client: &MockPeer<'_>) {
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

    fn note(&self, publish: &Publish, client: &MockPeer<'_>) {
        let broker = client.name.to_owned();
        let published = Published { at: client.clock.now(), broker, publish: publish.clone() };
        self.desk().published.push(published);
    }

    fn subscribe(&self, wanted: SubscribeFilter, client: &MockPeer<'_>) {
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
    pub(super) fn tell(&self, publish: &Publish, is_ours: bool, client: &MockPeer<'_>) {
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

    fn send(&self, publish: &Publish, qos: u8, retain: bool, subscription_ids: Vec<u32>, client: &MockPeer<'_>) {
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
            properties: publish.properties.as_deref().map(|known| property_map(known.clone())).unwrap_or_default(),
            ..IncomingPublish::default()
        };
        // Nothing that this broker sends is malformed.
        let _ = client.session().incoming(Frame::Packet(Incoming::Publish(arrived)), client.clock.now());
    }
}

impl Published {
    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.publish.payload
    }
}
