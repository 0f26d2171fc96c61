//! The broker's state, and its recovery from the write-ahead log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::message::{ClientId, UnixMillis};
use super::retained::Retained;
use super::session::Session;
use super::subscriptions::{Subscriber, Subscriptions};
use super::write_ahead_log::{LogBuffer, Record};
use crate::services::clock::MonotonicClock;

/// Limits from the configuration.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// Maximum packet size, in bytes.
    pub(super) packet: u32,
    /// Maximum number of queued messages of one client.
    pub(super) queued: usize,
    /// Maximum total size of queued messages of one client, in bytes.
    pub(super) queued_bytes: usize,
    /// Maximum keep-alive that is granted, in seconds.
    pub(super) keep_alive: u16,
}

/// The state of the broker, behind one lock.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) sessions: HashMap<ClientId, Session>,
    pub(super) subscriptions: Subscriptions,
    pub(super) retained: Retained,
    /// Records for the write-ahead log, if there is one.
    pub(super) log: Option<LogBuffer>,
    /// Bytes in the send queues of all clients.
    pub(super) total_queued_bytes: Arc<AtomicUsize>,
    /// Number of connected clients.
    pub(super) connected: usize,
    pub(super) last_seq: u64,
    pub(super) last_connection: u64,
    clock: MonotonicClock,
}

impl State {
    /// Returns an empty state.
    pub(super) fn new(limits: Limits, clock: MonotonicClock) -> Self {
        Self {
            limits,
            sessions: HashMap::new(),
            subscriptions: Subscriptions::new(),
            retained: Retained::default(),
            log: None,
            total_queued_bytes: Arc::default(),
            connected: 0,
            last_seq: 0,
            last_connection: 0,
            clock,
        }
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.unix_millis()
    }

    /// Applies the records of the write-ahead log, and appends to its buffer from now on.
    pub(super) fn restore(&mut self, records: Vec<Record>, log: LogBuffer) {
        for record in records {
            self.replay(record);
        }
        let now = self.now();
        let not_persistent: Vec<_> = self.sessions.iter().filter(|(_, session)| !session.is_persistent()).collect();
        for client in not_persistent.into_iter().map(|(client, _)| client.clone()).collect::<Vec<_>>() {
            self.end_session(&client);
        }
        for session in self.sessions.values_mut() {
            session.offline_since.get_or_insert(now);
        }
        self.log = Some(log);
    }

    /// Appends a record to the write-ahead log.
    pub(super) fn log(&mut self, record: &Record) {
        if let Some(log) = &self.log {
            log.append(record);
        }
    }

    /// Ends a session with its subscriptions and its queue.
    pub(super) fn end_session(&mut self, client: &ClientId) {
        let Some(session) = self.sessions.remove(client) else { return };
        for (filter, entry_id) in &session.filters {
            self.subscriptions.remove(filter, *entry_id, client);
        }
        self.log(&Record::EndSession(client.clone()));
    }

    /// Returns the persistent part of the state as records.
    pub(super) fn snapshot(&self) -> Vec<Record> {
        let retained = self.retained.all(self.now()).map(|message| Record::Retain(Arc::clone(message)));
        let persistent = self.sessions.iter().filter(|(_, session)| session.is_persistent());
        let sessions = persistent.flat_map(|(client, session)| self.records(client, session));
        retained.chain(sessions).collect()
    }

    fn records(&self, client: &ClientId, session: &Session) -> Vec<Record> {
        let client = || client.clone();
        let mut all =
            vec![Record::Session { client: client(), expiry: session.expiry, offline_since: session.offline_since }];
        all.extend(session.filters.iter().filter_map(|(filter, entry_id)| {
            let Subscriber { options, subscription_id, .. } = self.subscriptions.get(*entry_id, &client())?.clone();
            Some(Record::Subscribe { client: client(), filter: filter.clone(), options, subscription_id })
        }));
        for (seq, message) in &session.inflight {
            all.push(Record::Queue { client: client(), delivery: message.delivery.clone() });
            all.push(Record::Sent { client: client(), seq: *seq, id: message.id });
            if message.is_received {
                all.push(Record::PubRecReceived { client: client(), id: message.id });
            }
        }
        let queue = session.queue.acknowledged.iter();
        all.extend(queue.map(|delivery| Record::Queue { client: client(), delivery: delivery.clone() }));
        all.extend(session.awaiting_pubrel.iter().map(|id| Record::AwaitPubRel { client: client(), id: *id }));
        all
    }

    /// Applies a record of the write-ahead log.
    fn replay(&mut self, record: Record) {
        match record {
            Record::Retain(message) => {
                self.retained.set(message);
            }
            Record::Unretain(topic) => {
                self.retained.remove(&topic);
            }
            Record::Session { client, expiry, offline_since } => {
                let session = self.sessions.entry(client).or_insert_with(|| Session::new(&self.total_queued_bytes));
                (session.expiry, session.offline_since) = (expiry, offline_since);
            }
            Record::EndSession(client) => self.end_session(&client),
            Record::Subscribe { client, filter, options, subscription_id } => {
                self.subscribe(filter, Subscriber { client, options, subscription_id });
            }
            Record::Unsubscribe { client, filter } => {
                self.unsubscribe(&client, &filter);
            }
            Record::Queue { ref client, .. }
            | Record::Sent { ref client, .. }
            | Record::PubRecReceived { ref client, .. }
            | Record::Complete { ref client, .. }
            | Record::AwaitPubRel { ref client, .. }
            | Record::PubRelReceived { ref client, .. } => {
                let client = client.clone();
                self.replay_delivery(&client, record);
            }
        }
    }

    fn replay_delivery(&mut self, client: &ClientId, record: Record) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        match record {
            Record::Queue { delivery, .. } => {
                self.last_seq = self.last_seq.max(delivery.seq);
                session.queue.push(delivery);
            }
            Record::Sent { seq, id, .. } => {
                if let Some(delivery) = session.queue.remove(seq) {
                    session.start_inflight(id, delivery, false);
                }
            }
            Record::PubRecReceived { id, .. } => {
                if let Some(message) = session.packet_ids.get(&id).and_then(|seq| session.inflight.get_mut(seq)) {
                    message.is_received = true;
                }
            }
            Record::Complete { seq, .. } => match session.inflight.get(&seq).map(|message| message.id) {
                Some(id) => drop(session.complete_inflight(id)),
                None => drop(session.queue.remove(seq)),
            },
            Record::AwaitPubRel { id, .. } => drop(session.awaiting_pubrel.insert(id)),
            Record::PubRelReceived { id, .. } => drop(session.awaiting_pubrel.remove(&id)),
            _ => {}
        }
    }

    /// Adds or replaces a subscription; returns whether it is new, `None` if there is no such session.
    pub(super) fn subscribe(&mut self, filter: String, subscriber: Subscriber) -> Option<bool> {
        let session = self.sessions.get_mut(&subscriber.client)?;
        let old = session.filters.remove(&filter);
        if let Some(entry_id) = old {
            self.subscriptions.remove(&filter, entry_id, &subscriber.client);
        }
        let entry_id = self.subscriptions.add(&filter, subscriber);
        session.filters.insert(filter, entry_id);
        Some(old.is_none())
    }

    /// Removes a subscription, and returns whether there was one.
    pub(super) fn unsubscribe(&mut self, client: &ClientId, filter: &str) -> bool {
        let Some(entry_id) = self.sessions.get_mut(client).and_then(|session| session.filters.remove(filter)) else {
            return false;
        };
        self.subscriptions.remove(filter, entry_id, client);
        true
    }
}
