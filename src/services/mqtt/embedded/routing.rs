//! The way of a message: from a client to those who want it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tracing::{debug, warn};

use super::message::{ClientId, Delivery, Message, Moment};
use super::packet::{self, Delivered, Reason};
use super::session::{Flight, Link, Session};
use super::sessions::ConnectionId;
use super::state::State;
use super::write_ahead_log::{Record, WriteAheadLog};

/// How many bytes may wait for all clients together.
const ALL_WAITING: usize = 1 << 30;
/// How many bytes are made ready for a connection at a time.
pub(super) const READY: usize = 64 << 10;

impl State {
    /// Keeps a message if it is to be kept, and has it wait for all who want it. Returns whether anybody does.
    pub(super) fn publish(&mut self, from: &ClientId, message: Message) -> Result<bool, Reason> {
        if message.topic == "$SYS" || message.topic.starts_with("$SYS/") {
            return Err(Reason::NOT_ALLOWED);
        }
        let message = Arc::new(message);
        if message.retain {
            self.retain(&message)?;
        }
        let sessions = &self.sessions;
        let is_there = |client: &ClientId| sessions.get(client).is_some_and(|session| session.link.is_some());
        let recipients = self.subscriptions.recipients(&message.topic, Some(from), is_there);
        let is_wanted = !recipients.is_empty();
        for recipient in recipients {
            let delivery = Delivery {
                seq: 0,
                qos: recipient.qos.min(message.qos),
                retain: recipient.as_published && message.retain,
                numbers: recipient.numbers,
                message: Arc::clone(&message),
            };
            self.deliver(&recipient.client, delivery);
        }
        Ok(is_wanted)
    }

    fn retain(&mut self, message: &Arc<Message>) -> Result<(), Reason> {
        if !self.retained.has_room_for(message) {
            warn!(
                "the embedded broker keeps no more retained messages: there is no room for the one of {}",
                message.topic
            );
            return Err(Reason::QUOTA);
        }
        let is_change = self.retained.set(Arc::clone(message));
        match message.payload.is_empty() {
            true if is_change => self.note(&Record::Unretain(message.topic.clone())),
            true => {}
            false => self.note(&Record::Retain(Arc::clone(message))),
        }
        Ok(())
    }

    /// Has a message wait for a client, unless too many do.
    fn deliver(&mut self, client: &ClientId, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.link.is_none() && delivery.qos == 0 {
            return;
        }
        let is_full = session.waiting.len() >= self.limits.queued
            || session.waiting.bytes() + delivery.message.size() > self.limits.queued_bytes;
        let is_full = is_full || self.all_waiting.load(Ordering::Relaxed) > ALL_WAITING;
        // The first one always fits: else a limit below the size of a packet would be one on packets.
        if is_full && session.waiting.len() > 0 {
            if session.dropped == 0 {
                warn!(
                    "{} messages wait for the MQTT client {client:?}; more are dropped until it takes some (`mqtt.embedded.max_queued`)",
                    session.waiting.len()
                );
            }
            session.dropped += 1;
            return;
        }
        self.enqueue(client, delivery);
    }

    /// Has a message wait for a client.
    pub(super) fn enqueue(&mut self, client: &ClientId, mut delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        self.last_seq += 1;
        delivery.seq = self.last_seq;
        if let Some(journal) = &mut self.journal
            && session.is_kept()
            && delivery.qos > 0
        {
            journal.note(&Record::Queue { client: client.clone(), delivery: delivery.clone() });
        }
        session.waiting.push(delivery);
        session.wake();
    }

    /// Writes what a client is to get, as far as there is room and it takes more; returns whether more is there that could go.
    pub(super) fn pull(&mut self, ticket: &ConnectionId, out: &mut BytesMut) -> bool {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&ticket.client) else { return false };
        while out.len() < READY {
            if !session.send_one(ticket, now, &mut self.journal, out) {
                session.has_kept_up(&ticket.client);
                return false;
            }
        }
        true
    }
}

impl Session {
    /// Writes one thing that the client is to get; returns whether there was one that may go.
    fn send_one(
        &mut self,
        ticket: &ConnectionId,
        now: Moment,
        journal: &mut Option<WriteAheadLog>,
        out: &mut BytesMut,
    ) -> bool {
        let Some(link) = &mut self.link else { return false };
        let is_open = link.out < link.window;
        if is_open && let Some(seq) = self.again.pop_front() {
            if let Some(flight) = self.flights.get_mut(&seq) {
                link.send_again(flight, now, out);
            }
            return true;
        }
        let is_open = is_open && self.flying_bytes < link.max_bytes && self.ids.len() < usize::from(u16::MAX);
        let Some(delivery) = self.waiting.pop(is_open) else { return false };
        let is_fit = !delivery.message.is_expired(now) && link.takes(&delivery, now);
        let noted = journal.as_mut().filter(|_| self.expiry > 0 && delivery.qos > 0);
        if !is_fit {
            if let Some(journal) = noted {
                journal.note(&Record::Done { client: ticket.client.clone(), seq: delivery.seq });
            }
            return true;
        }
        if delivery.qos == 0 {
            link.send(&delivery, 0, false, now, out);
            return true;
        }
        let id = self.free_id();
        if let Some(journal) = noted {
            journal.note(&Record::Sent { client: ticket.client.clone(), seq: delivery.seq, id });
        }
        if let Some(link) = &mut self.link {
            link.send(&delivery, id, false, now, out);
            link.out += 1;
        }
        self.fly(id, delivery, true);
        true
    }

    fn has_kept_up(&mut self, client: &ClientId) {
        if self.dropped > 0 && self.waiting.len() == 0 {
            warn!("{} messages for the MQTT client {client:?} were dropped", self.dropped);
            self.dropped = 0;
        }
    }
}

impl Link {
    fn takes(&self, delivery: &Delivery, now: Moment) -> bool {
        let too_large = packet::is_too_large(self.version, &as_sent(delivery, 1, now), self.max_packet);
        if too_large {
            debug!("a message of {} is larger than its client takes", delivery.message.topic);
        }
        !too_large
    }

    fn send_again(&mut self, flight: &mut Flight, now: Moment, out: &mut BytesMut) {
        flight.counts = true;
        self.out += 1;
        match flight.is_received {
            true => packet::ack(self.version, 0x62, flight.id, Reason::SUCCESS, out),
            false => self.send(&flight.delivery, flight.id, true, now, out),
        }
    }

    fn send(&mut self, delivery: &Delivery, id: u16, dup: bool, now: Moment, out: &mut BytesMut) {
        let mut message = Delivered { dup, ..as_sent(delivery, id, now) };
        if let Some(alias) = self.aliases.get(message.topic) {
            (message.alias, message.topic) = (Some(*alias), "");
        } else if self.aliases.len() < usize::from(self.max_aliases) {
            let alias = self.aliases.len() as u16 + 1;
            message.alias = Some(alias);
            // With the alias it may be too large where it was not without.
            match packet::is_too_large(self.version, &message, self.max_packet) {
                true => message.alias = None,
                false => drop(self.aliases.insert(message.topic.to_owned(), alias)),
            }
        }
        packet::delivered(self.version, &message, out);
    }
}

fn as_sent(delivery: &Delivery, id: u16, now: Moment) -> Delivered<'_> {
    let message = &delivery.message;
    let left = |expires: Moment| u32::try_from(expires.saturating_sub(now).div_ceil(1_000)).unwrap_or(u32::MAX);
    Delivered {
        topic: &message.topic,
        payload: &message.payload,
        forward: &message.forward,
        qos: delivery.qos,
        retain: delivery.retain,
        dup: false,
        id,
        expiry: message.expires.map(left),
        numbers: &delivery.numbers,
        alias: None,
    }
}
