//! Subscriptions, and the recipients of a topic.

use std::collections::HashMap;

use super::message::ClientId;
use super::packet::{ReasonCode, SubscribeOptions};
use crate::services::mqtt::trie::Trie;

/// Maximum number of topic levels of a filter.
const MAX_LEVELS: usize = 200;

/// All subscriptions, found by topic.
pub(super) struct Subscriptions {
    trie: Trie<u64>,
    entries: HashMap<u64, SubscriptionEntry>,
    /// The entries of shared subscriptions, by filter with `$share/GROUP/`.
    shared: HashMap<String, u64>,
    last: u64,
}

/// The subscription of one client.
#[derive(Clone)]
pub(super) struct Subscriber {
    pub(super) client: ClientId,
    pub(super) options: SubscribeOptions,
    pub(super) subscription_id: Option<u32>,
}

/// A recipient of a message.
pub(super) struct Recipient {
    pub(super) client: ClientId,
    /// The maximum of the matching subscriptions.
    pub(super) qos: u8,
    pub(super) retain_as_published: bool,
    pub(super) subscription_ids: Vec<u32>,
}

enum SubscriptionEntry {
    Single(Subscriber),
    /// A shared subscription: each message goes to one member, round robin.
    Shared {
        members: Vec<Subscriber>,
        next: usize,
    },
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self { trie: Trie::new(), entries: HashMap::new(), shared: HashMap::new(), last: 0 }
    }

    /// Adds a subscription and returns its entry. The filter must have been checked.
    pub(super) fn add(&mut self, filter: &str, subscriber: Subscriber) -> u64 {
        if is_shared(filter)
            && let Some(entry_id) = self.shared.get(filter)
            && let Some(SubscriptionEntry::Shared { members, .. }) = self.entries.get_mut(entry_id)
        {
            members.push(subscriber);
            return *entry_id;
        }
        self.last += 1;
        let entry = match is_shared(filter) {
            true => {
                self.shared.insert(filter.to_owned(), self.last);
                SubscriptionEntry::Shared { members: vec![subscriber], next: 0 }
            }
            false => SubscriptionEntry::Single(subscriber),
        };
        self.entries.insert(self.last, entry);
        self.trie.insert(topic_filter(filter), self.last);
        self.last
    }

    /// Removes a client's subscription.
    pub(super) fn remove(&mut self, filter: &str, entry_id: u64, client: &ClientId) {
        if let Some(SubscriptionEntry::Shared { members, .. }) = self.entries.get_mut(&entry_id) {
            members.retain(|member| member.client != *client);
            if !members.is_empty() {
                return;
            }
            self.shared.remove(filter);
        }
        self.entries.remove(&entry_id);
        self.trie.remove(topic_filter(filter), entry_id);
    }

    /// Returns a client's subscription.
    pub(super) fn get(&self, entry_id: u64, client: &ClientId) -> Option<&Subscriber> {
        match self.entries.get(&entry_id)? {
            SubscriptionEntry::Single(subscriber) => Some(subscriber),
            SubscriptionEntry::Shared { members, .. } => members.iter().find(|member| member.client == *client),
        }
    }

    /// Returns the recipients of a message: each client once, plus once per shared subscription.
    ///
    /// Disconnected members of a shared subscription are skipped while another one is connected.
    pub(super) fn recipients(
        &mut self,
        topic: &str,
        from: Option<&ClientId>,
        is_connected: impl Fn(&ClientId) -> bool,
    ) -> Vec<Recipient> {
        let mut all: Vec<Recipient> = Vec::new();
        let mut indexes: HashMap<ClientId, usize> = HashMap::new();
        for entry_id in self.trie.find(topic) {
            match self.entries.get_mut(&entry_id) {
                Some(SubscriptionEntry::Shared { members, next }) => {
                    *next = next.wrapping_add(1);
                    all.push(Recipient::new(next_member(members, *next, &is_connected)));
                }
                Some(SubscriptionEntry::Single(subscriber))
                    if subscriber.options.no_local && from == Some(&subscriber.client) => {}
                Some(SubscriptionEntry::Single(subscriber)) => match indexes.get(&subscriber.client) {
                    Some(index) => all[*index].merge(subscriber),
                    None => {
                        indexes.insert(subscriber.client.clone(), all.len());
                        all.push(Recipient::new(subscriber));
                    }
                },
                None => {}
            }
        }
        all
    }
}

/// Returns the next member of a shared subscription.
fn next_member(members: &[Subscriber], turn: usize, is_connected: impl Fn(&ClientId) -> bool) -> &Subscriber {
    let connected: Vec<_> = members.iter().filter(|member| is_connected(&member.client)).collect();
    match connected.is_empty() {
        true => &members[turn % members.len()],
        false => connected[turn % connected.len()],
    }
}

impl Recipient {
    fn new(subscriber: &Subscriber) -> Self {
        Self {
            client: subscriber.client.clone(),
            qos: subscriber.options.qos,
            retain_as_published: subscriber.options.retain_as_published,
            subscription_ids: subscriber.subscription_id.into_iter().collect(),
        }
    }

    fn merge(&mut self, subscriber: &Subscriber) {
        self.qos = self.qos.max(subscriber.options.qos);
        self.retain_as_published |= subscriber.options.retain_as_published;
        self.subscription_ids.extend(subscriber.subscription_id);
    }
}

/// Returns whether a filter is a shared subscription.
pub(super) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Returns a filter without `$share/GROUP/`.
fn topic_filter(filter: &str) -> &str {
    filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, topic_filter)| topic_filter)
}

/// Checks a topic filter.
///
/// Source: MQTT 5.0, sections 4.7.1 and 4.8.2.
pub(super) fn check_filter(filter: &str) -> Result<(), ReasonCode> {
    if let Some(rest) = filter.strip_prefix("$share/") {
        let group = rest.split_once('/').filter(|(group, _)| !group.is_empty() && !group.contains(['+', '#']));
        group.ok_or(ReasonCode::TOPIC_FILTER_INVALID)?;
    }
    let topic_filter = topic_filter(filter);
    let levels = topic_filter.split('/').count();
    let fits = |(index, level): (usize, &str)| match level {
        "+" => true,
        "#" => index + 1 == levels,
        _ => !level.contains(['+', '#']),
    };
    match !topic_filter.is_empty() && levels <= MAX_LEVELS && topic_filter.split('/').enumerate().all(fits) {
        true => Ok(()),
        false => Err(ReasonCode::TOPIC_FILTER_INVALID),
    }
}
