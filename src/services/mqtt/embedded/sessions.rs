//! Clients come, go, come back or never do.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::message::{ClientId, Message, Moment};
use super::packet::{ConnAck, Connect, LastWill, Reason};
use super::session::{Link, Session};
use super::state::State;
use super::write_ahead_log::Record;
use crate::services::mqtt::settings::random_text;
use crate::services::mqtt::wire::Version;

/// How long a session that nobody resumes is kept at most, in seconds.
const MAX_EXPIRY: u32 = 30 * 86_400;
/// How many sessions of clients that are away are kept.
const MAX_AWAY: usize = 20_000;
/// How many messages of QoS 2 may be on the way from one client.
pub(super) const WINDOW: u16 = 1_000;
/// How many messages may be on the way to one client, if it does not want less. As many as our own client takes: else one slow script
/// would soon hold back all others.
const MAX_OUT: u16 = 10_000;
/// How many aliases for topics one client may have.
pub(super) const MAX_ALIASES: u16 = 32;

/// A connection's right to speak for its client.
#[derive(Debug, Clone)]
pub(super) struct ConnectionId {
    pub(super) client: ClientId,
    pub(super) number: u64,
    pub(super) version: Version,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// The client says that it goes.
    Goodbye { with_will: bool, expiry: Option<u32> },
    /// We say that it has to go, and why.
    ServerDisconnect(Reason),
    /// The connection is lost.
    Lost,
}

impl State {
    /// Lets a client in.
    pub(super) fn enter(&mut self, connect: &Connect, wake: Arc<Notify>) -> Result<(ConnectionId, ConnAck), Reason> {
        let is_named = !connect.client_id.is_empty();
        if !is_named && connect.version == Version::V4 && !connect.clean_start {
            return Err(Reason::CLIENT_ID);
        }
        let client: ClientId = match is_named {
            true => connect.client_id.as_str().into(),
            false => format!("auto-{}", random_text()).into(),
        };
        self.take_over(&client);
        if self.connected >= self.limits.connections {
            return Err(Reason::BUSY);
        }
        if connect.clean_start {
            self.end_early(&client);
        }
        let same_session = self.sessions.contains_key(&client);
        let expiry = connect.expiry.unwrap_or(u32::MAX).min(MAX_EXPIRY);
        self.last_link += 1;
        self.connected += 1;
        let session = self.sessions.entry(client.clone()).or_insert_with(|| Session::new(&self.all_waiting));
        session.expiry = expiry;
        session.welcome(connect, Link::new(connect, self.last_link, wake, self.limits.queued_bytes));
        if expiry > 0 {
            self.note(&Record::Session { client: client.clone(), expiry, away: None });
        }
        let granted = match connect.keep_alive {
            0 => self.limits.keep_alive,
            asked => asked.min(self.limits.keep_alive),
        };
        let greeting = ConnAck {
            same_session,
            expiry: (connect.expiry != Some(expiry)).then_some(expiry),
            window: WINDOW,
            max_packet: self.limits.packet,
            aliases: MAX_ALIASES,
            client_id: (!is_named).then(|| client.to_string()),
            keep_alive: (granted != connect.keep_alive).then_some(granted),
        };
        Ok((ConnectionId { client, number: self.last_link, version: connect.version }, greeting))
    }

    /// Ends the connection that a client has already.
    fn take_over(&mut self, client: &ClientId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.link.is_none() {
            return;
        }
        // It finds that it has no link any more, and says why it goes.
        session.wake();
        session.part(now);
        self.connected -= 1;
        self.after_parting(client);
    }

    /// Notes that a client's connection has ended; nothing if another one has taken its place.
    pub(super) fn leave(&mut self, ticket: &ConnectionId, end: End) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&ticket.client) else { return };
        if session.link.as_ref().is_none_or(|link| link.number != ticket.number) {
            return;
        }
        match end {
            End::Goodbye { with_will, expiry } => {
                if !with_will {
                    session.will = None;
                }
                session.expiry = expiry.unwrap_or(session.expiry).min(MAX_EXPIRY);
            }
            // The client has done nothing wrong, and will be back.
            End::ServerDisconnect(Reason::STOPPING) => session.will = None,
            End::ServerDisconnect(_) | End::Lost => {}
        }
        session.part(now);
        self.connected -= 1;
        self.after_parting(&ticket.client);
    }

    /// Sees to the will and the session of a client that has just gone.
    fn after_parting(&mut self, client: &ClientId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(client) else { return };
        let expiry = session.expiry;
        let delay = session.will.as_ref().map(|will| will.delay.min(expiry));
        session.will_due = delay.map(|delay| now + u64::from(delay) * 1_000);
        let will = if delay == Some(0) { session.will.take() } else { None };
        if expiry == 0 {
            self.end(client);
        } else {
            self.note(&Record::Session { client: client.clone(), expiry, away: Some(now) });
            self.forget_the_longest_away();
        }
        if let Some(will) = will {
            self.tell(client, will);
        }
    }

    /// Does what is due: wills of clients that did not come back, and the end of their sessions. Returns when to look again.
    pub(super) fn tidy(&mut self) -> Option<Moment> {
        let now = self.now();
        let mut wills = Vec::new();
        let mut ended = Vec::new();
        let mut next: Option<Moment> = None;
        for (client, session) in self.sessions.iter_mut().filter(|(_, session)| session.link.is_none()) {
            let due = session.will.as_ref().and(session.will_due);
            let ends = session.ends();
            if due.is_some_and(|due| due <= now) {
                wills.extend(session.will.take().map(|will| (client.clone(), will)));
            }
            if ends.is_some_and(|ends| ends <= now) {
                ended.push(client.clone());
            }
            let later = [due, ends].into_iter().flatten().filter(|moment| *moment > now).min();
            next = [next, later].into_iter().flatten().min();
        }
        for client in ended {
            self.end(&client);
        }
        for (client, will) in wills {
            self.tell(&client, will);
        }
        next
    }

    /// Makes room, if too many are away.
    fn forget_the_longest_away(&mut self) {
        if self.sessions.len() - self.connected <= MAX_AWAY {
            return;
        }
        let away = self.sessions.iter().filter_map(|(client, session)| Some((session.away?, client)));
        if let Some(client) = away.min().map(|(_, client)| client.clone()) {
            self.end_early(&client);
        }
    }

    /// Ends a session before its time, and tells the will that waited for its client to come back.
    fn end_early(&mut self, client: &ClientId) {
        let will = self.sessions.get_mut(client).and_then(|session| session.will.take());
        self.end(client);
        if let Some(will) = will {
            self.tell(client, will);
        }
    }

    fn tell(&mut self, client: &ClientId, will: LastWill) {
        let expires = will.expiry.map(|seconds| self.now() + u64::from(seconds) * 1_000);
        let LastWill { topic, payload, qos, retain, forward, .. } = will;
        // There is nobody to tell that it was refused.
        let _ = self.publish(client, Message { topic, payload, qos, retain, forward, expires });
    }
}

impl Session {
    /// Gives it a connection, over which what is not confirmed is sent again.
    fn welcome(&mut self, connect: &Connect, link: Link) {
        self.away = None;
        self.will.clone_from(&connect.will);
        self.will_due = None;
        self.again = self.flights.keys().copied().collect::<VecDeque<_>>();
        self.link = Some(link);
    }
}

impl Link {
    fn new(connect: &Connect, number: u64, wake: Arc<Notify>, max_bytes: usize) -> Self {
        Self {
            number,
            version: connect.version,
            wake,
            window: connect.window.min(MAX_OUT).into(),
            out: 0,
            max_bytes,
            max_packet: connect.max_packet,
            max_aliases: connect.aliases.min(MAX_ALIASES),
            aliases: HashMap::new(),
        }
    }
}
