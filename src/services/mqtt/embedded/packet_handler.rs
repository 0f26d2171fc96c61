//! What a client says, and what it is answered.

use bytes::BytesMut;

use super::message::{Delivery, Message};
use super::packet::{self, Options, Packet, Published, Reason};
use super::session::Session;
use super::sessions::{ConnectionId, End, WINDOW};
use super::state::State;
use super::subscriptions::{Subscriber, check_filter, is_shared};
use super::write_ahead_log::Record;
use crate::services::mqtt::wire::Version;

/// How many filters one client may have.
const MAX_FILTERS: usize = 20_000;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

impl State {
    /// Does what a packet asks for, and writes the answer.
    pub(super) fn answer(&mut self, ticket: &ConnectionId, packet: Packet, out: &mut BytesMut) -> Result<(), End> {
        let now = self.now();
        let session = self.session(ticket)?;
        match packet {
            Packet::Publish(published) => {
                let expires = published.expiry.map(|seconds| now + u64::from(seconds) * 1_000);
                return self.take(ticket, published, expires, out);
            }
            Packet::PubAck(id) if session.is_flying(id, 1) => self.landed(ticket, id),
            Packet::PubRec(id, true) if session.is_flying(id, 2) => self.landed(ticket, id),
            Packet::PubRec(id, false) => self.received(ticket, id, out),
            Packet::PubRel(id) => {
                let is_known = session.taken.remove(&id);
                if is_known && session.is_kept() {
                    self.note(&Record::Released { client: ticket.client.clone(), id });
                }
                let reason = if is_known { Reason::SUCCESS } else { Reason::UNKNOWN_ID };
                packet::ack(ticket.version, PUBCOMP, id, reason, out);
            }
            Packet::PubComp(id) if session.is_flying(id, 2) => self.landed(ticket, id),
            // Confirmed twice, or from before the broker forgot.
            Packet::PubAck(_) | Packet::PubRec(..) | Packet::PubComp(_) => {}
            Packet::Subscribe { id, number, wanted } => self.take_filters(ticket, id, number, wanted, out),
            Packet::Unsubscribe { id, filters } => self.drop_filters(ticket, id, &filters, out),
            Packet::Ping => packet::pong(out),
            Packet::Disconnect { expiry: Some(1..), .. } if !session.is_kept() => {
                return Err(End::ServerDisconnect(Reason::PROTOCOL));
            }
            Packet::Disconnect { with_will, expiry } => return Err(End::Goodbye { with_will, expiry }),
            Packet::Connect(_) => return Err(End::ServerDisconnect(Reason::PROTOCOL)),
        }
        Ok(())
    }

    /// Returns the session of a connection, if no other connection has taken its place.
    pub(super) fn session(&mut self, ticket: &ConnectionId) -> Result<&mut Session, End> {
        let session = self.sessions.get_mut(&ticket.client);
        let own = session.filter(|session| session.link.as_ref().is_some_and(|link| link.number == ticket.number));
        own.ok_or(End::ServerDisconnect(Reason::TAKEN_OVER))
    }

    fn take(
        &mut self,
        ticket: &ConnectionId,
        published: Published,
        expires: Option<u64>,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        let Published { topic, payload, qos, retain, id, forward, .. } = published;
        let session = self.session(ticket)?;
        if qos == 2 && session.taken.contains(&id) {
            packet::ack(ticket.version, PUBREC, id, Reason::SUCCESS, out);
            return Ok(());
        }
        if qos == 2 && session.taken.len() >= usize::from(WINDOW) {
            return Err(End::ServerDisconnect(Reason::TOO_MANY));
        }
        let result = self.publish(&ticket.client, Message { topic, payload, qos, retain, forward, expires });
        let reason = match result {
            Ok(true) => Reason::SUCCESS,
            Ok(false) => Reason::NO_SUBSCRIBERS,
            Err(reason) => reason,
        };
        // MQTT 3.1.1 has no words for a refusal, so there the message is as good as taken.
        if qos == 2 && (result.is_ok() || ticket.version == Version::V4) {
            let session = self.session(ticket)?;
            session.taken.insert(id);
            if session.is_kept() {
                self.note(&Record::Took { client: ticket.client.clone(), id });
            }
        }
        match qos {
            0 => {}
            1 => packet::ack(ticket.version, PUBACK, id, reason, out),
            _ => packet::ack(ticket.version, PUBREC, id, reason, out),
        }
        Ok(())
    }

    /// A client has what was sent to it.
    fn landed(&mut self, ticket: &ConnectionId, id: u16) {
        let Ok(session) = self.session(ticket) else { return };
        let is_kept = session.is_kept();
        if let Some(seq) = session.land(id)
            && is_kept
        {
            self.note(&Record::Done { client: ticket.client.clone(), seq });
        }
    }

    /// A client has a message of QoS 2 for the first time.
    fn received(&mut self, ticket: &ConnectionId, id: u16, out: &mut BytesMut) {
        let Ok(session) = self.session(ticket) else { return };
        let is_known = session.is_flying(id, 2);
        let is_kept = session.is_kept();
        if let Some(flight) = session.ids.get(&id).and_then(|seq| session.flights.get_mut(seq)).filter(|_| is_known) {
            flight.is_received = true;
            if is_kept {
                self.note(&Record::Received { client: ticket.client.clone(), id });
            }
        }
        packet::ack(ticket.version, PUBREL, id, if is_known { Reason::SUCCESS } else { Reason::UNKNOWN_ID }, out);
    }

    fn take_filters(
        &mut self,
        ticket: &ConnectionId,
        id: u16,
        number: Option<u32>,
        wanted: Vec<(String, Options)>,
        out: &mut BytesMut,
    ) {
        let mut answers = Vec::with_capacity(wanted.len());
        for (filter, options) in wanted {
            answers.push(self.take_filter(ticket, filter, options, number).map(|()| options.qos));
        }
        packet::subscribed(ticket.version, id, &answers, out);
    }

    fn take_filter(
        &mut self,
        ticket: &ConnectionId,
        filter: String,
        options: Options,
        number: Option<u32>,
    ) -> Result<(), Reason> {
        check_filter(&filter)?;
        let (now, limit) = (self.now(), self.limits.queued);
        let session = self.session(ticket).map_err(|_| Reason::TAKEN_OVER)?;
        // Who asks for retained messages again and again without taking them gets no more.
        if session.filters.len() >= MAX_FILTERS || session.waiting.len() > limit {
            return Err(Reason::QUOTA);
        }
        let (client, is_kept) = (ticket.client.clone(), session.is_kept());
        let is_new = self.subscribe(filter.clone(), Subscriber { client: client.clone(), options, number });
        if is_kept {
            self.note(&Record::Subscribe { client: client.clone(), filter: filter.clone(), options, number });
        }
        let wants_retained = options.handling == 0 || (options.handling == 1 && is_new == Some(true));
        if wants_retained && !is_shared(&filter) {
            for message in self.retained.matching(&filter, now) {
                let (qos, numbers) = (options.qos.min(message.qos), number.into_iter().collect());
                self.enqueue(&client, Delivery { seq: 0, message, qos, retain: true, numbers });
            }
        }
        Ok(())
    }

    fn drop_filters(&mut self, ticket: &ConnectionId, id: u16, filters: &[String], out: &mut BytesMut) {
        let is_kept = self.session(ticket).is_ok_and(|session| session.is_kept());
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            let was_there = self.unsubscribe(&ticket.client, filter);
            if was_there && is_kept {
                self.note(&Record::Unsubscribe { client: ticket.client.clone(), filter: filter.clone() });
            }
            answers.push(if was_there { Reason::SUCCESS } else { Reason::NO_SUBSCRIPTION });
        }
        packet::unsubscribed(ticket.version, id, &answers, out);
    }
}

impl Session {
    /// Returns whether a message of this QoS is on its way under this id.
    fn is_flying(&self, id: u16, qos: u8) -> bool {
        let flight = self.ids.get(&id).and_then(|seq| self.flights.get(seq));
        flight.is_some_and(|flight| flight.delivery.qos == qos)
    }
}
