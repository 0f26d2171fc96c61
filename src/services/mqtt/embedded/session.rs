//! What the broker knows of one client, connected or away.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::message::{Delivery, Moment};
use super::packet::LastWill;
use crate::services::mqtt::wire::Version;

/// What the broker knows of one client.
#[derive(Default)]
pub(super) struct Session {
    /// How long it is kept after the connection is gone, in seconds; 0: no longer than that.
    pub(super) expiry: u32,
    /// Since when the client is away.
    pub(super) away: Option<Moment>,
    pub(super) link: Option<Link>,
    pub(super) will: Option<LastWill>,
    /// When the will of a client that is away is to be told.
    pub(super) will_due: Option<Moment>,
    /// Its filters, each with its number in the book of subscriptions.
    pub(super) filters: BTreeMap<String, u64>,
    pub(super) waiting: Waiting,
    /// What was sent and is not confirmed, by its place in the order.
    pub(super) flights: BTreeMap<u64, Flight>,
    /// How many bytes those take.
    pub(super) flying_bytes: usize,
    /// The packet ids of `flights`.
    pub(super) ids: HashMap<u16, u64>,
    last_id: u16,
    /// What must be sent again since the client came back.
    pub(super) again: VecDeque<u64>,
    /// The ids of the messages of QoS 2 that were taken and are not yet released.
    pub(super) taken: HashSet<u16>,
    /// How many messages were dropped since the client last kept up.
    pub(super) dropped: u64,
}

/// The connection of a client.
pub(super) struct Link {
    /// No two connections have the same.
    pub(super) number: u64,
    pub(super) version: Version,
    /// Woken when there is something to send.
    pub(super) wake: Arc<Notify>,
    /// How many messages may be on the way.
    pub(super) window: usize,
    /// How many are.
    pub(super) out: usize,
    /// How many bytes may be on the way.
    pub(super) max_bytes: usize,
    pub(super) max_packet: u32,
    /// The most aliases that the client takes.
    pub(super) max_aliases: u16,
    pub(super) aliases: HashMap<String, u16>,
}

/// A message of QoS 1 or 2 on its way.
pub(super) struct Flight {
    pub(super) id: u16,
    pub(super) delivery: Delivery,
    /// Whether the client has confirmed that it has it (QoS 2).
    pub(super) is_received: bool,
    /// Whether it counts in `Link::out`.
    pub(super) counts: bool,
}

/// What waits to be sent.
#[derive(Default)]
pub(super) struct Waiting {
    /// QoS 1 and 2, which wait for the client's window.
    pub(super) sure: VecDeque<Delivery>,
    /// QoS 0, which do not.
    pub(super) loose: VecDeque<Delivery>,
    bytes: usize,
    /// What waits for all clients together, in bytes.
    all: Arc<AtomicUsize>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.subtract(self.bytes);
    }
}

impl Waiting {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        Self { sure: VecDeque::new(), loose: VecDeque::new(), bytes: 0, all: Arc::clone(all) }
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.message.size();
        self.all.fetch_add(delivery.message.size(), Ordering::Relaxed);
        match delivery.qos {
            0 => self.loose.push_back(delivery),
            _ => self.sure.push_back(delivery),
        }
    }

    /// Takes the next one: the oldest, or the oldest of QoS 0 if nothing else may go.
    pub(super) fn pop(&mut self, is_open: bool) -> Option<Delivery> {
        let is_sure = match (self.sure.front(), self.loose.front()) {
            (Some(sure), Some(loose)) => is_open && sure.seq < loose.seq,
            (sure, _) => is_open && sure.is_some(),
        };
        let delivery = if is_sure { self.sure.pop_front() } else { self.loose.pop_front() }?;
        self.subtract(delivery.message.size());
        Some(delivery)
    }

    pub(super) fn len(&self) -> usize {
        self.sure.len() + self.loose.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one out, wherever it stands.
    pub(super) fn take(&mut self, seq: u64) -> Option<Delivery> {
        let at = self.sure.binary_search_by_key(&seq, |delivery| delivery.seq).ok()?;
        let delivery = self.sure.remove(at)?;
        self.subtract(delivery.message.size());
        Some(delivery)
    }

    /// Throws away what goes only to who is there.
    pub(super) fn forget_loose(&mut self) {
        let bytes = self.loose.drain(..).map(|delivery| delivery.message.size()).sum();
        self.subtract(bytes);
    }

    fn subtract(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Session {
    /// Makes one that is new; what waits for it is added to what waits for all.
    pub(super) fn new(all_waiting: &Arc<AtomicUsize>) -> Self {
        Self { waiting: Waiting::new(all_waiting), ..Self::default() }
    }

    /// Returns whether it outlives its connection.
    pub(super) fn is_kept(&self) -> bool {
        self.expiry > 0
    }

    /// Returns when it ends, if its client does not come back.
    pub(super) fn ends(&self) -> Option<Moment> {
        Some(self.away? + u64::from(self.expiry) * 1_000)
    }

    /// Returns a packet id that is free. Not all may be taken.
    pub(super) fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.ids.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Notes that a message is on its way.
    pub(super) fn fly(&mut self, id: u16, delivery: Delivery, counts: bool) {
        self.ids.insert(id, delivery.seq);
        self.flying_bytes += delivery.message.size();
        self.flights.insert(delivery.seq, Flight { id, delivery, is_received: false, counts });
    }

    /// Ends a message's way; `None` if there is none with this id.
    pub(super) fn land(&mut self, id: u16) -> Option<u64> {
        let seq = self.ids.remove(&id)?;
        let flight = self.flights.remove(&seq)?;
        self.flying_bytes -= flight.delivery.message.size();
        if let Some(link) = &mut self.link
            && flight.counts
        {
            link.out -= 1;
        }
        Some(seq)
    }

    /// Forgets the connection, and what was meant for it alone.
    pub(super) fn part(&mut self, now: Moment) {
        self.link = None;
        self.away = Some(now);
        self.again.clear();
        self.waiting.forget_loose();
        for flight in self.flights.values_mut() {
            flight.counts = false;
        }
    }

    /// Wakes whoever sends.
    pub(super) fn wake(&self) {
        if let Some(link) = &self.link {
            link.wake.notify_one();
        }
    }
}
