//! The life cycle of sessions: connect, take-over, disconnect, will messages and expiry.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::message::{ClientId, Message, UnixMillis};
use super::packet::{ConnAck, Connect, ReasonCode, Will};
use super::session::{ConnectionState, Session};
use super::state::State;
use super::write_ahead_log::Record;
use crate::services::mqtt::settings::random_text;
use crate::services::mqtt::wire::Version;

/// Maximum session expiry interval, in seconds.
const MAX_EXPIRY: u32 = 30 * 86_400;
/// Maximum number of sessions of disconnected clients.
const MAX_OFFLINE_SESSIONS: usize = 20_000;
/// Maximum number of QoS 2 messages in flight from one client (receive maximum of the broker).
pub(super) const RECEIVE_MAXIMUM: u16 = 1_000;
/// Maximum number of messages in flight to one client, unless the client requests fewer. Equals the receive maximum of rhaid's own client: with a
/// lower value one slow script would soon delay all others.
const MAX_INFLIGHT: u16 = 10_000;
/// Maximum number of topic aliases of one client.
pub(super) const TOPIC_ALIAS_MAXIMUM: u16 = 32;

/// Identifies a connection of a client; stale after a take-over.
#[derive(Debug, Clone)]
pub(super) struct ConnectionId {
    pub(super) client: ClientId,
    pub(super) serial: u64,
    pub(super) version: Version,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionEnd {
    /// DISCONNECT from the client.
    ClientDisconnect { with_will: bool, expiry: Option<u32> },
    /// DISCONNECT from the broker.
    ServerDisconnect(ReasonCode),
    /// The connection was lost.
    Lost,
}

impl State {
    /// Accepts a CONNECT: creates or resumes the session.
    pub(super) fn connect(
        &mut self,
        connect: &Connect,
        wake: Arc<Notify>,
    ) -> Result<(ConnectionId, ConnAck), ReasonCode> {
        let client = client_id(connect)?;
        self.take_over(&client);
        if self.connected >= self.limits.connections {
            return Err(ReasonCode::SERVER_BUSY);
        }
        if connect.clean_start {
            self.end_session_with_will(&client);
        }
        let session_present = self.sessions.contains_key(&client);
        let expiry = connect.expiry.unwrap_or(u32::MAX).min(MAX_EXPIRY);
        self.last_connection += 1;
        self.connected += 1;
        let session = self.sessions.entry(client.clone()).or_insert_with(|| Session::new(&self.total_queued_bytes));
        session.expiry = expiry;
        session.attach(connect, ConnectionState::new(connect, self.last_connection, wake, self.limits.queued_bytes));
        if expiry > 0 {
            self.log(&Record::Session { client: client.clone(), expiry, offline_since: None });
        }
        let granted = match connect.keep_alive {
            0 => self.limits.keep_alive,
            requested => requested.min(self.limits.keep_alive),
        };
        let connack = ConnAck {
            session_present,
            expiry: (connect.expiry != Some(expiry)).then_some(expiry),
            receive_maximum: RECEIVE_MAXIMUM,
            max_packet: self.limits.packet,
            topic_alias_maximum: TOPIC_ALIAS_MAXIMUM,
            client_id: connect.client_id.is_empty().then(|| client.to_string()),
            keep_alive: (granted != connect.keep_alive).then_some(granted),
        };
        Ok((ConnectionId { client, serial: self.last_connection, version: connect.version }, connack))
    }

    /// Detaches the current connection of a client.
    fn take_over(&mut self, client: &ClientId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.connection.is_none() {
            return;
        }
        // The connection task finds its session taken over and sends DISCONNECT.
        session.wake();
        session.detach(now);
        self.connected -= 1;
        self.after_disconnect(client);
    }

    /// Detaches an ended connection; does nothing if another connection has taken over.
    pub(super) fn disconnect(&mut self, connection_id: &ConnectionId, end: ConnectionEnd) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&connection_id.client) else { return };
        if session.connection.as_ref().is_none_or(|connection| connection.serial != connection_id.serial) {
            return;
        }
        match end {
            ConnectionEnd::ClientDisconnect { with_will, expiry } => {
                if !with_will {
                    session.will = None;
                }
                session.expiry = expiry.unwrap_or(session.expiry).min(MAX_EXPIRY);
            }
            // A regular shutdown: the client will reconnect.
            ConnectionEnd::ServerDisconnect(ReasonCode::SERVER_SHUTTING_DOWN) => session.will = None,
            ConnectionEnd::ServerDisconnect(_) | ConnectionEnd::Lost => {}
        }
        session.detach(now);
        self.connected -= 1;
        self.after_disconnect(&connection_id.client);
    }

    /// Publishes or schedules the will and ends or keeps the session of a client that has just disconnected.
    fn after_disconnect(&mut self, client: &ClientId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(client) else { return };
        let expiry = session.expiry;
        let delay = session.will.as_ref().map(|will| will.delay.min(expiry));
        session.will_due = delay.map(|delay| now + u64::from(delay) * 1_000);
        let will = if delay == Some(0) { session.will.take() } else { None };
        if expiry == 0 {
            self.end_session(client);
        } else {
            self.log(&Record::Session { client: client.clone(), expiry, offline_since: Some(now) });
            self.evict_longest_offline();
        }
        if let Some(will) = will {
            self.publish_will(client, will);
        }
    }

    /// Publishes due will messages and ends expired sessions. Returns the next deadline.
    pub(super) fn expire(&mut self) -> Option<UnixMillis> {
        let now = self.now();
        let mut wills = Vec::new();
        let mut ended = Vec::new();
        let mut next: Option<UnixMillis> = None;
        for (client, session) in self.sessions.iter_mut().filter(|(_, session)| session.connection.is_none()) {
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
            self.end_session(&client);
        }
        for (client, will) in wills {
            self.publish_will(&client, will);
        }
        next
    }

    /// Ends the session that has been offline for the longest time, if there are too many.
    fn evict_longest_offline(&mut self) {
        if self.sessions.len() - self.connected <= MAX_OFFLINE_SESSIONS {
            return;
        }
        let offline_since = self.sessions.iter().filter_map(|(client, session)| Some((session.offline_since?, client)));
        if let Some(client) = offline_since.min().map(|(_, client)| client.clone()) {
            self.end_session_with_will(&client);
        }
    }

    /// Ends a session before its expiry, and publishes its delayed will.
    fn end_session_with_will(&mut self, client: &ClientId) {
        let will = self.sessions.get_mut(client).and_then(|session| session.will.take());
        self.end_session(client);
        if let Some(will) = will {
            self.publish_will(client, will);
        }
    }

    fn publish_will(&mut self, client: &ClientId, will: Will) {
        let expires = will.expiry.map(|seconds| self.now() + u64::from(seconds) * 1_000);
        let Will { topic, payload, qos, retain, forward, .. } = will;
        // There is no client that could receive the refusal.
        let _ = self.publish(Some(client), Message { topic, payload, qos, retain, forward, expires });
    }
}

/// Returns the client identifier of a CONNECT, or assigns one.
fn client_id(connect: &Connect) -> Result<ClientId, ReasonCode> {
    if !connect.client_id.is_empty() {
        return Ok(connect.client_id.as_str().into());
    }
    match connect.version == Version::V4 && !connect.clean_start {
        true => Err(ReasonCode::CLIENT_ID_INVALID),
        false => Ok(format!("auto-{}", random_text()).into()),
    }
}

impl Session {
    /// Attaches a connection, on which unacknowledged messages are sent again.
    fn attach(&mut self, connect: &Connect, connection: ConnectionState) {
        self.offline_since = None;
        self.will.clone_from(&connect.will);
        self.will_due = None;
        self.resend = self.inflight.keys().copied().collect::<VecDeque<_>>();
        self.connection = Some(connection);
    }
}

impl ConnectionState {
    fn new(connect: &Connect, serial: u64, wake: Arc<Notify>, max_inflight_bytes: usize) -> Self {
        Self {
            serial,
            version: connect.version,
            wake,
            receive_maximum: connect.receive_maximum.min(MAX_INFLIGHT).into(),
            inflight_count: 0,
            max_inflight_bytes,
            max_packet: connect.max_packet,
            topic_alias_maximum: connect.topic_alias_maximum.min(TOPIC_ALIAS_MAXIMUM),
            aliases: HashMap::new(),
        }
    }
}
