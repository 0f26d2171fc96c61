//! What is known about a broker and owed to it, without any connection: all decisions are made here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tracing::warn;

use crate::services::mqtt::Error;
use crate::services::mqtt::ack_spill::PATIENCE;
use crate::services::mqtt::last::LastValues;
use crate::services::mqtt::message::{AckToken, Message};
use crate::services::mqtt::outbox::Outbox;
use crate::services::mqtt::pending_acks::{AckQueue, Acknowledgement, Arrival, PendingAcks};
use crate::services::mqtt::persistence::Mark;
use crate::services::mqtt::registry::Registry;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::{ConnAck, ConnectionError, Frame, Incoming, IncomingPublish, Outgoing};
use crate::services::store::{OutboxChange, OutboxRecord};

/// How many messages are held back during a pause; with one more, nobody is paused any longer.
const MAX_HELD: usize = 10_000;

/// What is known about a broker and owed to it.
pub(super) struct ClientSession {
    broker: String,
    pub(super) registry: Registry,
    pub(super) outbox: Outbox,
    pub(super) last: LastValues,
    debts: PendingAcks,
    acks: Arc<AckQueue>,
    // Whether somebody wants to know how it stands, whatever else there is.
    pub(super) is_wanted: bool,
    // Answers, and what goes out again after a reconnect: first in the line.
    answers: VecDeque<Outgoing>,
    // How many messages gave way since the broker was last there.
    dropped: u64,
    // How many want that nobody is told anything for now, and what came meanwhile.
    pauses: usize,
    held: VecDeque<(Message, Vec<u32>)>,
}

impl ClientSession {
    pub(super) fn new(settings: &ConnectionSettings, acks: Arc<AckQueue>) -> Self {
        Self {
            broker: settings.name.clone(),
            registry: Registry::new(&settings.name),
            outbox: Outbox::new(settings.outbox, settings.max_inflight),
            last: LastValues::default(),
            debts: PendingAcks::default(),
            acks,
            is_wanted: false,
            answers: VecDeque::new(),
            dropped: 0,
            pauses: 0,
            held: VecDeque::new(),
        }
    }

    /// Returns whether anybody wants anything from the broker.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_wanted && self.registry.is_empty() && self.outbox.is_empty()
    }

    /// Starts a connection, in the session of before or in a new one.
    pub(super) fn connected(&mut self, greeting: &ConnAck) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            warn!(broker = self.broker, "{dropped} messages gave way while the broker was away");
        }
        self.registry.connected(greeting.session_present, greeting.has_subscription_ids);
        self.debts.connected(greeting.session_present);
        self.answers = self.outbox.connected(greeting).into();
    }

    /// Takes what the broker sent.
    ///
    /// # Errors
    /// If the connection can not go on.
    pub(super) fn incoming(&mut self, frame: Frame, at: Timestamp) -> Result<(), ConnectionError> {
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
            Incoming::PingResp => {}
            Incoming::Disconnect(why) => return Err(ConnectionError::ServerDisconnect(why)),
            Incoming::ConnAck(_) => return Err(ConnectionError::Malformed("a second greeting".into())),
        }
        Ok(())
    }

    /// Gives up the message that has waited longest; says so once until the broker is back.
    pub(super) fn drop_oldest(&mut self) {
        if self.dropped == 0 {
            let (broker, waiting) = (&self.broker, self.outbox.waiting());
            warn!(broker, "{waiting} messages wait for the broker: the oldest give way (`outbox_full`)");
        }
        self.dropped += 1;
        self.outbox.drop_oldest();
    }

    /// Notes that changes are on disk, or why they are not.
    pub(super) fn changed(&mut self, marks: &[Mark], outcome: &Result<(), Error>) {
        self.answers.extend(self.outbox.changed(marks, outcome));
    }

    /// Returns the next packet to send.
    pub(super) fn outgoing(&mut self) -> Option<Outgoing> {
        self.debts.set_aside(Instant::now());
        for acknowledgement in self.debts.due(&self.acks) {
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

    fn arrived(&mut self, arrived: IncomingPublish, at: Timestamp) {
        let ack = match arrived.qos {
            0 => AckToken::default(),
            qos => match self.debts.arrived(arrived.id, qos, &arrived.topic, &arrived.payload) {
                Arrival::New(debt) => AckToken::new(debt, Arc::clone(&self.acks)),
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
            ack: Arc::new(ack),
        };
        if message.qos > 0 {
            self.debts.remember(&message);
        }
        self.last.note(&message);
        if self.pauses > 0 && self.held.len() < MAX_HELD {
            return self.held.push_back((message, arrived.subscription_ids));
        }
        self.deliver_held();
        self.registry.deliver(&message, &arrived.subscription_ids, Instant::now());
    }

    /// Takes up what an earlier process had set aside.
    pub(super) fn restore(&mut self, left: Vec<OutboxRecord>) {
        self.debts.restore(left);
    }

    /// Returns whether an earlier process had set something aside.
    pub(super) fn has_left(&self) -> bool {
        self.debts.aside.has_left()
    }

    /// Tells subscribers what an earlier process had set aside.
    pub(super) fn deliver_left(&mut self) {
        for (number, message) in self.debts.aside.take_left(&self.broker) {
            let ack = Arc::new(AckToken::new(number, Arc::clone(&self.acks)));
            self.registry.deliver(&Message { ack, ..message }, &[], Instant::now());
        }
    }

    /// Returns when a message that holds back others is to be set aside.
    pub(super) fn overdue(&self) -> Option<Instant> {
        self.debts.held_back_since().map(|since| since + PATIENCE)
    }

    /// Returns whether something is to be written to disk.
    pub(super) fn has_changes(&self) -> bool {
        self.outbox.has_changes() || self.debts.aside.has_changes()
    }

    /// Returns whether something is to be written to disk soon.
    pub(super) fn is_pressed(&self) -> bool {
        self.outbox.is_pressed() || self.debts.aside.has_changes()
    }

    /// Takes what is to be written of messages that are set aside.
    pub(super) fn take_aside(&mut self) -> Vec<OutboxChange> {
        self.debts.aside.take_changes()
    }

    /// Notes that messages that are set aside are on disk, or are not.
    pub(super) fn set_aside(&mut self, numbers: &[u64], are_on_disk: bool) {
        self.debts.kept(numbers, are_on_disk);
    }

    /// Tells subscribers nothing until [`ClientSession::resume`], or until 10,000 messages are held back.
    pub(super) fn pause(&mut self) {
        self.pauses += 1;
    }

    /// Tells subscribers what came during the pause, when it was the last one.
    pub(super) fn resume(&mut self) {
        self.pauses -= 1;
        if self.pauses == 0 {
            self.deliver_held();
        }
    }

    fn deliver_held(&mut self) {
        let now = Instant::now();
        for (message, subscription_ids) in self.held.drain(..) {
            self.registry.deliver(&message, &subscription_ids, now);
        }
    }

    /// Owes the confirmation of a message that nobody gets to see, and pays it at once.
    fn confirm_unseen(&mut self, qos: u8, id: u16) {
        if qos > 0
            && let Arrival::New(debt) = self.debts.arrived(id, qos, "", &[])
        {
            self.acks.pay(debt);
        }
    }
}
