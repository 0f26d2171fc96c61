//! What is known about a broker and owed to it, without any connection: all decisions are made here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tracing::warn;

use crate::services::mqtt::debts::{Acknowledgement, Arrival, Debts, Payments};
use crate::services::mqtt::last::LastValues;
use crate::services::mqtt::message::{Message, Receipt};
use crate::services::mqtt::outbox::Outbox;
use crate::services::mqtt::registry::Registry;
use crate::services::mqtt::wire::{Arrived, Broken, Frame, Greeting, Incoming, Outgoing};

/// What is known about a broker and owed to it.
pub(super) struct Core {
    broker: String,
    pub(super) registry: Registry,
    pub(super) outbox: Outbox,
    pub(super) last: LastValues,
    debts: Debts,
    payments: Arc<Payments>,
    // Answers, and what goes out again after a reconnect: first in the line.
    answers: VecDeque<Outgoing>,
}

impl Core {
    pub(super) fn new(broker: &str, outbox: usize, payments: Arc<Payments>) -> Self {
        Self {
            broker: broker.to_owned(),
            registry: Registry::new(broker),
            outbox: Outbox::new(outbox),
            last: LastValues::default(),
            debts: Debts::default(),
            payments,
            answers: VecDeque::new(),
        }
    }

    /// Returns whether anybody wants anything from the broker.
    pub(super) fn is_idle(&self) -> bool {
        self.registry.is_empty() && self.outbox.is_empty()
    }

    /// Starts a connection, in the session of before or in a new one.
    pub(super) fn connected(&mut self, greeting: &Greeting) {
        self.registry.connected(greeting.same_session, greeting.numbered);
        self.debts.connected(greeting.same_session);
        self.answers = self.outbox.connected(greeting).into();
    }

    /// Takes what the broker sent.
    ///
    /// # Errors
    /// If the connection can not go on.
    pub(super) fn incoming(&mut self, frame: Frame, at: Timestamp) -> Result<(), Broken> {
        let packet = match frame {
            Frame::Packet(packet) => packet,
            Frame::TooLarge { topic, qos, id, size } => {
                warn!(
                    broker = self.broker,
                    topic, "a message of {size} bytes is left out: more than `mqtt.max_packet`"
                );
                self.confirm_unseen(qos, id);
                return Ok(());
            }
        };
        match packet {
            Incoming::Publish(arrived) => self.arrived(arrived, at),
            Incoming::PubAck { id, refused } => self.outbox.acknowledged(id, refused),
            Incoming::PubRec { id, refused } => {
                if self.outbox.received(id, refused) {
                    self.answers.push_back(Outgoing::PubRel(id));
                }
            }
            Incoming::PubRel(id) => {
                self.debts.released(id);
                self.answers.push_back(Outgoing::PubComp(id));
            }
            Incoming::PubComp(id) => self.outbox.completed(id),
            Incoming::SubAck { id, granted } => self.registry.granted(id, granted, Instant::now()),
            Incoming::UnsubAck(id) => self.registry.revoked(id),
            Incoming::Pong => {}
            Incoming::Disconnect(why) => return Err(Broken::Dismissed(why)),
            Incoming::Greeted(_) => return Err(Broken::Malformed("a second greeting".into())),
        }
        Ok(())
    }

    /// Returns the next packet to send.
    pub(super) fn outgoing(&mut self) -> Option<Outgoing> {
        for acknowledgement in self.debts.due(&self.payments) {
            self.answers.push_back(match acknowledgement {
                Acknowledgement::PubAck(id) => Outgoing::PubAck(id),
                Acknowledgement::PubRec(id) => Outgoing::PubRec(id),
            });
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let Self { registry, outbox, .. } = self;
        if let Some(question) = registry.ask(Instant::now(), |registry| outbox.packet_id(|id| registry.uses(id))) {
            return Some(question);
        }
        outbox.next(|id| registry.uses(id))
    }

    fn arrived(&mut self, arrived: Arrived, at: Timestamp) {
        let receipt = match arrived.qos {
            0 => Receipt::default(),
            qos => match self.debts.arrived(arrived.id, qos, &arrived.topic, &arrived.payload) {
                Arrival::New(debt) => Receipt::new(debt, Arc::clone(&self.payments)),
                Arrival::Again => return,
            },
        };
        let message = Message {
            topic: arrived.topic,
            payload: arrived.payload,
            qos: arrived.qos,
            retain: arrived.retain,
            dup: arrived.dup,
            broker: self.broker.clone(),
            properties: arrived.properties,
            received: at,
            receipt: Arc::new(receipt),
        };
        self.last.note(&message);
        self.registry.deliver(&message, &arrived.numbers, Instant::now());
    }

    /// Owes the confirmation of a message that nobody gets to see, and pays it at once.
    fn confirm_unseen(&mut self, qos: u8, id: u16) {
        if qos > 0
            && let Arrival::New(debt) = self.debts.arrived(id, qos, "", &[])
        {
            self.payments.pay(debt, true);
        }
    }
}
