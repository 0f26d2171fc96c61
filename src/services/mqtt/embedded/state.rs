//! All that the broker knows, and how it is written down and found again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::message::{ClientId, Moment};
use super::retained::Retained;
use super::session::Session;
use super::subscriptions::{Subscriber, Subscriptions};
use super::write_ahead_log::{Record, WriteAheadLog};

/// What nobody may take more of.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// In bytes.
    pub(super) packet: u32,
    /// How many messages wait for one client.
    pub(super) queued: usize,
    /// How many bytes do.
    pub(super) queued_bytes: usize,
    /// The longest keep-alive that is granted, in seconds.
    pub(super) keep_alive: u16,
}

/// All that the broker knows.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) sessions: HashMap<ClientId, Session>,
    pub(super) subscriptions: Subscriptions,
    pub(super) retained: Retained,
    pub(super) journal: Option<WriteAheadLog>,
    /// What waits for all clients together, in bytes.
    pub(super) all_waiting: Arc<AtomicUsize>,
    /// How many clients are connected.
    pub(super) connected: usize,
    pub(super) last_seq: u64,
    pub(super) last_link: u64,
    began: (Instant, Moment),
}

impl State {
    /// Makes one that knows nothing yet.
    pub(super) fn new(limits: Limits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            limits,
            sessions: HashMap::new(),
            subscriptions: Subscriptions::new(),
            retained: Retained::default(),
            journal: None,
            all_waiting: Arc::default(),
            connected: 0,
            last_seq: 0,
            last_link: 0,
            began: (Instant::now(), u64::try_from(now).unwrap_or(u64::MAX)),
        }
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Moment {
        let (began, moment) = self.began;
        moment + u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX - moment)
    }

    /// Takes what was written down, and goes on writing there.
    pub(super) fn remember(&mut self, journal: WriteAheadLog, records: Vec<Record>) {
        for record in records {
            self.redo(record);
        }
        let now = self.now();
        let unkept: Vec<_> = self.sessions.iter().filter(|(_, session)| !session.is_kept()).collect();
        for client in unkept.into_iter().map(|(client, _)| client.clone()).collect::<Vec<_>>() {
            self.end(&client);
        }
        for session in self.sessions.values_mut() {
            session.away.get_or_insert(now);
        }
        self.journal = Some(journal);
        self.write_anew();
    }

    /// Notes a change of a session that outlives its connection.
    pub(super) fn note(&mut self, record: &Record) {
        if let Some(journal) = &mut self.journal {
            journal.note(record);
        }
    }

    /// Has everything that was noted in the file before anybody is told of it.
    pub(super) fn ack(&mut self) {
        if self.journal.as_mut().is_some_and(WriteAheadLog::flush) {
            self.write_anew();
        }
    }

    /// Ends a session, and with it all that waits for its client.
    pub(super) fn end(&mut self, client: &ClientId) {
        let Some(session) = self.sessions.remove(client) else { return };
        for (filter, number) in &session.filters {
            self.subscriptions.remove(filter, *number, client);
        }
        self.note(&Record::End(client.clone()));
    }

    fn write_anew(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        let retained = self.retained.all(self.now()).map(|message| Record::Retain(Arc::clone(message)));
        let kept = self.sessions.iter().filter(|(_, session)| session.is_kept());
        let sessions = kept.flat_map(|(client, session)| self.records(client, session));
        journal.rewrite(retained.chain(sessions));
        self.journal = Some(journal);
    }

    fn records(&self, client: &ClientId, session: &Session) -> Vec<Record> {
        let client = || client.clone();
        let mut all = vec![Record::Session { client: client(), expiry: session.expiry, away: session.away }];
        all.extend(session.filters.iter().filter_map(|(filter, number)| {
            let Subscriber { options, number, .. } = self.subscriptions.get(*number, &client())?.clone();
            Some(Record::Subscribe { client: client(), filter: filter.clone(), options, number })
        }));
        for (seq, flight) in &session.flights {
            all.push(Record::Queue { client: client(), delivery: flight.delivery.clone() });
            all.push(Record::Sent { client: client(), seq: *seq, id: flight.id });
            if flight.is_received {
                all.push(Record::Received { client: client(), id: flight.id });
            }
        }
        let waiting = session.waiting.sure.iter();
        all.extend(waiting.map(|delivery| Record::Queue { client: client(), delivery: delivery.clone() }));
        all.extend(session.taken.iter().map(|id| Record::Took { client: client(), id: *id }));
        all
    }

    /// Does again what a record tells.
    fn redo(&mut self, record: Record) {
        match record {
            Record::Retain(message) => {
                self.retained.set(message);
            }
            Record::Unretain(topic) => {
                self.retained.remove(&topic);
            }
            Record::Session { client, expiry, away } => {
                let session = self.sessions.entry(client).or_insert_with(|| Session::new(&self.all_waiting));
                (session.expiry, session.away) = (expiry, away);
            }
            Record::End(client) => self.end(&client),
            Record::Subscribe { client, filter, options, number } => {
                self.subscribe(filter, Subscriber { client, options, number });
            }
            Record::Unsubscribe { client, filter } => {
                self.unsubscribe(&client, &filter);
            }
            Record::Queue { ref client, .. }
            | Record::Sent { ref client, .. }
            | Record::Received { ref client, .. }
            | Record::Done { ref client, .. }
            | Record::Took { ref client, .. }
            | Record::Released { ref client, .. } => {
                let client = client.clone();
                self.redo_delivery(&client, record);
            }
        }
    }

    fn redo_delivery(&mut self, client: &ClientId, record: Record) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        match record {
            Record::Queue { delivery, .. } => {
                self.last_seq = self.last_seq.max(delivery.seq);
                session.waiting.push(delivery);
            }
            Record::Sent { seq, id, .. } => {
                if let Some(delivery) = session.waiting.take(seq) {
                    session.fly(id, delivery, false);
                }
            }
            Record::Received { id, .. } => {
                if let Some(flight) = session.ids.get(&id).and_then(|seq| session.flights.get_mut(seq)) {
                    flight.is_received = true;
                }
            }
            Record::Done { seq, .. } => match session.flights.get(&seq).map(|flight| flight.id) {
                Some(id) => drop(session.land(id)),
                None => drop(session.waiting.take(seq)),
            },
            Record::Took { id, .. } => drop(session.taken.insert(id)),
            Record::Released { id, .. } => drop(session.taken.remove(&id)),
            _ => {}
        }
    }

    /// Adds or exchanges a subscription; returns whether it is new, `None` if there is no such session.
    pub(super) fn subscribe(&mut self, filter: String, subscriber: Subscriber) -> Option<bool> {
        let session = self.sessions.get_mut(&subscriber.client)?;
        let old = session.filters.remove(&filter);
        if let Some(number) = old {
            self.subscriptions.remove(&filter, number, &subscriber.client);
        }
        let number = self.subscriptions.add(&filter, subscriber);
        session.filters.insert(filter, number);
        Some(old.is_none())
    }

    /// Takes a subscription away, and returns whether there was one.
    pub(super) fn unsubscribe(&mut self, client: &ClientId, filter: &str) -> bool {
        let Some(number) = self.sessions.get_mut(client).and_then(|session| session.filters.remove(filter)) else {
            return false;
        };
        self.subscriptions.remove(filter, number, client);
        true
    }
}
