//! The filters that are wanted or subscribed, by their text and by their numbers.

use std::collections::HashMap;
use std::time::Instant;

/// A subscriber, and the place of one of its filters.
pub(super) type Part = (u64, usize);

/// One filter as the broker knows it.
#[derive(Default)]
pub(super) struct Entry {
    /// What marks messages that come for it, in MQTT 5.
    pub(super) subscription_id: u32,
    /// Who wants it.
    pub(super) parts: Vec<Part>,
    /// The QoS that the broker was asked for and has confirmed in this session.
    pub(super) confirmed: Option<u8>,
    /// Whether the broker was asked to leave out what we publish ourselves.
    pub(super) no_local: bool,
    /// When that was.
    pub(super) confirmed_at: Option<Instant>,
    /// Whether a question is on its way.
    pub(super) is_asked: bool,
    /// Whether the broker does not want us to hear it.
    pub(super) refused: bool,
    /// Since when nobody wants it.
    pub(super) unwanted_since: Option<Instant>,
}

/// The filters that are wanted or subscribed.
#[derive(Default)]
pub(super) struct FilterTable {
    filters: HashMap<String, Entry>,
    subscription_ids: HashMap<u32, String>,
}

impl FilterTable {
    pub(super) fn get(&self, wire: &str) -> Option<&Entry> {
        self.filters.get(wire)
    }

    pub(super) fn get_mut(&mut self, wire: &str) -> Option<&mut Entry> {
        self.filters.get_mut(wire)
    }

    /// Returns the entry of a filter, made if there was none.
    pub(super) fn entry(&mut self, wire: &str) -> &mut Entry {
        if !self.filters.contains_key(wire) {
            let subscription_id = subscription_id(wire, &self.subscription_ids);
            self.subscription_ids.insert(subscription_id, wire.to_owned());
            self.filters.insert(wire.to_owned(), Entry { subscription_id, ..Entry::default() });
        }
        self.filters.entry(wire.to_owned()).or_default()
    }

    pub(super) fn remove(&mut self, wire: &str) {
        if let Some(entry) = self.filters.remove(wire) {
            self.subscription_ids.remove(&entry.subscription_id);
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Entry)> {
        self.filters.iter_mut()
    }

    /// Returns the entries with these numbers.
    pub(super) fn with_ids(&self, subscription_ids: &[u32]) -> impl Iterator<Item = &Entry> {
        subscription_ids.iter().filter_map(|subscription_id| self.get(self.subscription_ids.get(subscription_id)?))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.subscription_ids.is_empty()
    }
}

/// Returns a filter's number: the same in each process, so that a session that outlived one is understood, unless two filters
/// would have the same.
///
/// Source: MQTT 5.0, section 3.8.2.1.2: from 1 to 268,435,455. The hash is FNV-1a, 32 bits.
fn subscription_id(wire: &str, taken: &HashMap<u32, String>) -> u32 {
    let hash = wire.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut subscription_id = hash % 268_435_455 + 1;
    while taken.contains_key(&subscription_id) {
        subscription_id = subscription_id % 268_435_455 + 1;
    }
    subscription_id
}
