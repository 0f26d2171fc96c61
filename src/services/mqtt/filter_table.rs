//! The filters that are used or subscribed, by text and by subscription identifier.

use std::time::Instant;

use ahash::AHashMap;

/// A filter of a subscriber: the subscriber's id, and the position among its filters.
pub(super) type FilterRef = (u64, usize);

/// The subscription to one filter at the broker.
#[derive(Default)]
pub(super) struct FilterEntry {
    /// Identifier that the broker sends with matching messages, in MQTT 5.
    pub(super) subscription_id: u32,
    /// The subscribers' filters with this text.
    pub(super) users: Vec<FilterRef>,
    /// The requested QoS that the broker has acknowledged in this session.
    pub(super) acknowledged_qos: Option<u8>,
    /// Time of that SUBACK.
    pub(super) acknowledged_at: Option<Instant>,
    /// Whether the broker leaves out messages of this client.
    pub(super) no_local: bool,
    /// Whether a SUBSCRIBE or UNSUBSCRIBE is not yet answered.
    pub(super) is_request_pending: bool,
    /// Whether the broker has refused the subscription.
    pub(super) is_refused: bool,
    /// Since when it has no users.
    pub(super) unused_since: Option<Instant>,
}

/// The filters that are used or subscribed.
#[derive(Default)]
pub(super) struct FilterTable {
    entries: AHashMap<String, FilterEntry>,
    filters_by_id: AHashMap<u32, String>,
}

impl FilterTable {
    pub(super) fn get(&self, filter: &str) -> Option<&FilterEntry> {
        self.entries.get(filter)
    }

    pub(super) fn get_mut(&mut self, filter: &str) -> Option<&mut FilterEntry> {
        self.entries.get_mut(filter)
    }

    /// Returns the entry of a filter, which is created if there is none.
    pub(super) fn entry(&mut self, filter: &str) -> &mut FilterEntry {
        if !self.entries.contains_key(filter) {
            let subscription_id = subscription_id(filter, &self.filters_by_id);
            self.filters_by_id.insert(subscription_id, filter.to_owned());
            self.entries.insert(filter.to_owned(), FilterEntry { subscription_id, ..FilterEntry::default() });
        }
        self.entries.entry(filter.to_owned()).or_default()
    }

    pub(super) fn remove(&mut self, filter: &str) {
        if let Some(entry) = self.entries.remove(filter) {
            self.filters_by_id.remove(&entry.subscription_id);
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut FilterEntry)> {
        self.entries.iter_mut()
    }

    /// Returns the entries with these subscription identifiers.
    pub(super) fn with_ids(&self, subscription_ids: &[u32]) -> impl Iterator<Item = &FilterEntry> {
        subscription_ids.iter().filter_map(|id| self.get(self.filters_by_id.get(id)?))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.filters_by_id.is_empty()
    }
}

/// Returns the subscription identifier of a filter. It is the same in each process, so that the messages of a resumed session can be
/// assigned, unless two filters have the same hash.
///
/// Source: MQTT 5.0, section 3.8.2.1.2: from 1 to 268,435,455. The hash is FNV-1a, 32 bits.
fn subscription_id(filter: &str, used: &AHashMap<u32, String>) -> u32 {
    let hash = filter.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut id = hash % 268_435_455 + 1;
    while used.contains_key(&id) {
        id = id % 268_435_455 + 1;
    }
    id
}
