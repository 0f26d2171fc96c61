//! Pending SUBSCRIBE and UNSUBSCRIBE requests of one session.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::services::mqtt::wire::SubscribeFilter;

/// How long an unused filter stays subscribed: a reload or the next `mqtt_receive` may need it again at once.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// Limits of one packet: filters, and their bytes.
const MAX_FILTERS: usize = 200;
const MAX_BYTES: usize = 32 << 10;

/// Limit of packets that are not yet answered.
const MAX_UNANSWERED: usize = 50;

/// Filters whose subscription may have to change, and the requests that are not yet answered.
#[derive(Default)]
pub(super) struct RequestQueue {
    changed: BTreeSet<String>,
    // Unused filters, and since when.
    lingering: BTreeSet<(Instant, String)>,
    unanswered: HashMap<u16, Request>,
}

enum Request {
    Subscribe(Vec<(String, u8)>),
    Unsubscribe(Vec<String>),
}

/// The change that a filter needs.
pub(super) enum Need {
    Nothing,
    /// UNSUBSCRIBE unless the filter is used again; unused since this time.
    Linger(Instant),
    Subscribe(SubscribeFilter),
    Unsubscribe,
}

/// The filters of the next packet.
pub(super) enum Batch {
    Subscribe(Vec<SubscribeFilter>),
    Unsubscribe(Vec<String>),
}

impl RequestQueue {
    /// Marks a filter as changed: [`RequestQueue::next_batch`] checks which request it needs.
    pub(super) fn mark_changed(&mut self, filter: String) {
        self.changed.insert(filter);
    }

    /// Forgets unanswered requests, on a new connection.
    pub(super) fn clear_unanswered(&mut self) {
        self.unanswered.clear();
    }

    /// Returns whether an unanswered request has this packet identifier.
    pub(super) fn uses(&self, packet_id: u16) -> bool {
        self.unanswered.contains_key(&packet_id)
    }

    /// Returns when [`RequestQueue::next_batch`] may have a request that it does not have now.
    pub(super) fn due(&self) -> Option<Instant> {
        let earliest = self.lingering.first().filter(|_| self.unanswered.len() < MAX_UNANSWERED);
        earliest.map(|(since, _)| *since + LINGER)
    }

    /// Returns the filters of the next packet: up to `max_subscribe` to subscribe, or several to unsubscribe.
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        max_subscribe: Option<usize>,
        mut need: impl FnMut(&str) -> Need,
    ) -> Option<Batch> {
        if self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        while self.lingering.first().is_some_and(|(since, _)| now >= *since + LINGER) {
            self.changed.extend(self.lingering.pop_first().map(|(_, filter)| filter));
        }
        let max_subscribe = max_subscribe.unwrap_or(MAX_FILTERS);
        let (mut subscribe, mut unsubscribe, mut bytes) = (Vec::new(), Vec::new(), 0);
        while subscribe.len() < max_subscribe && unsubscribe.len() < MAX_FILTERS && bytes < MAX_BYTES {
            let Some(filter) = self.changed.pop_first() else { break };
            bytes += filter.len();
            match need(&filter) {
                Need::Nothing => {}
                Need::Linger(since) => {
                    self.lingering.insert((since, filter));
                }
                Need::Subscribe(filter) if unsubscribe.is_empty() => subscribe.push(filter),
                Need::Unsubscribe if subscribe.is_empty() => unsubscribe.push(filter),
                _ => {
                    // It waits for the next packet, which is of the other type.
                    self.changed.insert(filter);
                    break;
                }
            }
        }
        match (subscribe.is_empty(), unsubscribe.is_empty()) {
            (true, true) => None,
            (false, _) => Some(Batch::Subscribe(subscribe)),
            (true, false) => Some(Batch::Unsubscribe(unsubscribe)),
        }
    }

    /// Registers a SUBSCRIBE with its filters and their QoS.
    pub(super) fn subscribe_sent(&mut self, packet_id: u16, filters: Vec<(String, u8)>) {
        self.unanswered.insert(packet_id, Request::Subscribe(filters));
    }

    /// Registers an UNSUBSCRIBE with its filters.
    pub(super) fn unsubscribe_sent(&mut self, packet_id: u16, filters: Vec<String>) {
        self.unanswered.insert(packet_id, Request::Unsubscribe(filters));
    }

    /// Takes the SUBSCRIBE that is answered under a packet identifier.
    pub(super) fn take_subscribe(&mut self, packet_id: u16) -> Option<Vec<(String, u8)>> {
        match self.unanswered.remove(&packet_id)? {
            Request::Subscribe(filters) => Some(filters),
            Request::Unsubscribe(_) => None,
        }
    }

    /// Takes the UNSUBSCRIBE that is answered under a packet identifier.
    pub(super) fn take_unsubscribe(&mut self, packet_id: u16) -> Option<Vec<String>> {
        match self.unanswered.remove(&packet_id)? {
            Request::Unsubscribe(filters) => Some(filters),
            Request::Subscribe(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn has_changed_filters(&self) -> bool {
        !self.changed.is_empty()
    }
}
