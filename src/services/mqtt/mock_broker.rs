//! Mock brokers of a simulation: in process, with immediate replies in order, and switched online or offline by the test.

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

/// Mock brokers by name, which outlive the connections to them; cheap to clone.
#[derive(Clone, Default)]
pub struct MockBrokers(Arc<Mutex<BTreeMap<String, Arc<MockBroker>>>>);

/// A message that a client published to a mock broker.
#[derive(Debug, Clone)]
pub struct Published {
    /// The time of publishing.
    pub at: Timestamp,
    /// The broker's name.
    pub broker: String,
    /// The message.
    pub publish: Publish,
}

/// A mock broker.
#[derive(Default)]
pub(super) struct MockBroker {
    state: Mutex<MockBrokerState>,
    /// Serializes exchanges, so that messages stay in order.
    exchange: Mutex<()>,
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
struct MockBrokerState {
    is_offline: bool,
    retained: BTreeMap<String, Publish>,
    published: Vec<Published>,
    subscriptions: Vec<(Filter, SubscribeFilter)>,
    last_id: u16,
}

impl MockBrokers {
    pub(super) fn broker(&self, name: &str) -> Arc<MockBroker> {
        let mut brokers = self.0.lock();
        brokers.entry(name.to_owned()).or_default().clone()
    }

    /// Returns the messages that were published to all brokers, in order.
    pub fn published(&self) -> Vec<Published> {
        let brokers = self.0.lock();
        let mut all: Vec<_> = brokers.values().flat_map(|broker| broker.state().published.clone()).collect();
        all.sort_by_key(|published| published.at);
        all
    }
}

impl MockBroker {
    fn state(&self) -> MutexGuard<'_, MockBrokerState> {
        self.state.lock()
    }

    /// Accepts the client's connection, in a new session.
    pub(super) fn connect(&self, client: &MockPeer<'_>) {
        client.session().connected(&ConnAck { has_subscription_ids: true, ..ConnAck::default() });
    }

    pub(super) fn is_offline(&self) -> bool {
        self.state().is_offline
    }

    /// Switches the broker offline or online; returns whether it was offline.
    pub(super) fn set_offline(&self, is_offline: bool) -> bool {
        std::mem::replace(&mut self.state().is_offline, is_offline)
    }

    /// Removes the client's subscriptions.
    pub(super) fn forget_subscriptions(&self) {
        self.state().subscriptions.clear();
    }

    /// Applies all outgoing packets of the client, and sends the replies.
    pub(super) fn exchange(&self, client: &MockPeer<'_>) {
        let _exchange = self.exchange.lock();
        while !self.state().is_offline {
            let Some(packet) = client.session().outgoing() else { break };
            self.apply(packet, client);
        }
    }

    fn apply(&self, packet: Outgoing, client: &MockPeer<'_>) {
        let reply = |packet: Incoming| {
            // The packets of this broker are well-formed.
            let _ = client.session().incoming(Frame::Packet(packet), client.clock.now());
        };
        match packet {
            Outgoing::Publish { publish, id, .. } => {
                self.record(&publish, client);
                match publish.qos {
                    0 => client.session().outbox.written(),
                    1 => reply(Incoming::PubAck { id, refused: None }),
                    _ => reply(Incoming::PubRec { id, refused: None }),
                }
                self.deliver(&publish, true, client);
            }
            Outgoing::PubRel(id) => reply(Incoming::PubComp(id)),
            Outgoing::PubRec(id) => reply(Incoming::PubRel(id)),
            Outgoing::Subscribe { id, filters: subscriptions } => {
                reply(Incoming::SubAck {
                    id,
                    granted: subscriptions.iter().map(|subscription| Ok(subscription.qos)).collect(),
                });
                subscriptions.into_iter().for_each(|subscription| self.subscribe(subscription, client));
            }
            Outgoing::Unsubscribe { id, filters } => {
                self.state().subscriptions.retain(|(_, subscription)| !filters.contains(&subscription.filter));
                reply(Incoming::UnsubAck(id));
            }
            Outgoing::PubAck(_) | Outgoing::PubComp(_) | Outgoing::PingReq | Outgoing::Disconnect => {}
        }
    }

    fn record(&self, publish: &Publish, client: &MockPeer<'_>) {
        let broker = client.name.to_owned();
        let published = Published { at: client.clock.now(), broker, publish: publish.clone() };
        self.state().published.push(published);
    }

    fn subscribe(&self, subscription: SubscribeFilter, client: &MockPeer<'_>) {
        let Ok(filter) = Filter::parse(&subscription.filter) else { return };
        let retained: Vec<Publish> = match subscription.send_retained {
            true => {
                self.state().retained.values().filter(|retained| filter.is_match(&retained.topic)).cloned().collect()
            }
            false => Vec::new(),
        };
        let subscription_ids: Vec<u32> = subscription.subscription_id.into_iter().collect();
        let qos = subscription.qos;
        {
            let mut state = self.state();
            state.subscriptions.retain(|(_, other)| other.filter != subscription.filter);
            state.subscriptions.push((filter, subscription));
        }
        for publish in retained {
            self.send(&publish, qos, true, subscription_ids.clone(), client);
        }
    }

    /// Stores a retained message, and sends the message to the client if a subscription matches.
    pub(super) fn deliver(&self, publish: &Publish, is_own: bool, client: &MockPeer<'_>) {
        let qos = {
            let mut state = self.state();
            match (publish.retain, publish.payload.is_empty()) {
                (true, true) => drop(state.retained.remove(&publish.topic)),
                (true, false) => drop(state.retained.insert(publish.topic.clone(), publish.clone())),
                (false, _) => {}
            }
            let matching = state
                .subscriptions
                .iter()
                .filter(|(filter, subscription)| filter.is_match(&publish.topic) && !(is_own && subscription.no_local));
            matching.map(|(_, subscription)| subscription.qos).max()
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
                let mut state = self.state();
                state.last_id = state.last_id.checked_add(1).unwrap_or(1);
                state.last_id
            }
        };
        let incoming = IncomingPublish {
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos,
            retain,
            id,
            subscription_ids,
            properties: publish.properties.as_deref().map(|known| property_map(known.clone())).unwrap_or_default(),
            ..IncomingPublish::default()
        };
        // The packets of this broker are well-formed.
        let _ = client.session().incoming(Frame::Packet(Incoming::Publish(incoming)), client.clock.now());
    }
}

impl Published {
    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.publish.payload
    }
}
