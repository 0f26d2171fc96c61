//! Who wants which messages.

use std::collections::HashMap;

use super::message::ClientId;
use super::packet::{Options, Reason};
use crate::services::mqtt::trie::Trie;

/// How many levels a filter may have.
const MAX_LEVELS: usize = 200;

/// All subscriptions, found by topic.
pub(super) struct Subscriptions {
    trie: Trie<u64>,
    entries: HashMap<u64, Entry>,
    /// The entries of groups, by filter with group.
    groups: HashMap<String, u64>,
    last: u64,
}

/// A client's wish.
#[derive(Clone)]
pub(super) struct Subscriber {
    pub(super) client: ClientId,
    pub(super) options: Options,
    pub(super) number: Option<u32>,
}

/// Who gets a message.
pub(super) struct Recipient {
    pub(super) client: ClientId,
    /// The highest that was asked for.
    pub(super) qos: u8,
    pub(super) as_published: bool,
    pub(super) numbers: Vec<u32>,
}

enum Entry {
    One(Subscriber),
    /// Each message goes to one of them in turn.
    Group {
        members: Vec<Subscriber>,
        next: usize,
    },
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self { trie: Trie::new(), entries: HashMap::new(), groups: HashMap::new(), last: 0 }
    }

    /// Adds a subscription and returns its number. The filter must have been checked.
    pub(super) fn add(&mut self, filter: &str, subscriber: Subscriber) -> u64 {
        if is_shared(filter)
            && let Some(number) = self.groups.get(filter)
            && let Some(Entry::Group { members, .. }) = self.entries.get_mut(number)
        {
            members.push(subscriber);
            return *number;
        }
        self.last += 1;
        let entry = match is_shared(filter) {
            true => {
                self.groups.insert(filter.to_owned(), self.last);
                Entry::Group { members: vec![subscriber], next: 0 }
            }
            false => Entry::One(subscriber),
        };
        self.entries.insert(self.last, entry);
        self.trie.insert(pattern(filter), self.last);
        self.last
    }

    /// Takes a client's subscription away.
    pub(super) fn remove(&mut self, filter: &str, number: u64, client: &ClientId) {
        if let Some(Entry::Group { members, .. }) = self.entries.get_mut(&number) {
            members.retain(|member| member.client != *client);
            if !members.is_empty() {
                return;
            }
            self.groups.remove(filter);
        }
        self.entries.remove(&number);
        self.trie.remove(pattern(filter), number);
    }

    /// Returns a client's subscription.
    pub(super) fn get(&self, number: u64, client: &ClientId) -> Option<&Subscriber> {
        match self.entries.get(&number)? {
            Entry::One(subscriber) => Some(subscriber),
            Entry::Group { members, .. } => members.iter().find(|member| member.client == *client),
        }
    }

    /// Returns who gets a message: each client once, but for what it gets as a member of a group.
    ///
    /// Members of groups that are not there are passed over, if one is.
    pub(super) fn recipients(
        &mut self,
        topic: &str,
        from: Option<&ClientId>,
        is_there: impl Fn(&ClientId) -> bool,
    ) -> Vec<Recipient> {
        let mut all: Vec<Recipient> = Vec::new();
        let mut places: HashMap<ClientId, usize> = HashMap::new();
        for number in self.trie.find(topic) {
            match self.entries.get_mut(&number) {
                Some(Entry::Group { members, next }) => {
                    *next = next.wrapping_add(1);
                    all.push(Recipient::new(dealt(members, *next, &is_there)));
                }
                Some(Entry::One(subscriber)) if subscriber.options.no_local && from == Some(&subscriber.client) => {}
                Some(Entry::One(subscriber)) => match places.get(&subscriber.client) {
                    Some(place) => all[*place].merge(subscriber),
                    None => {
                        places.insert(subscriber.client.clone(), all.len());
                        all.push(Recipient::new(subscriber));
                    }
                },
                None => {}
            }
        }
        all
    }
}

/// Chooses the member of a group whose turn it is.
fn dealt(members: &[Subscriber], turn: usize, is_there: impl Fn(&ClientId) -> bool) -> &Subscriber {
    let there: Vec<_> = members.iter().filter(|member| is_there(&member.client)).collect();
    match there.is_empty() {
        true => &members[turn % members.len()],
        false => there[turn % there.len()],
    }
}

impl Recipient {
    fn new(subscriber: &Subscriber) -> Self {
        Self {
            client: subscriber.client.clone(),
            qos: subscriber.options.qos,
            as_published: subscriber.options.as_published,
            numbers: subscriber.number.into_iter().collect(),
        }
    }

    fn merge(&mut self, subscriber: &Subscriber) {
        self.qos = self.qos.max(subscriber.options.qos);
        self.as_published |= subscriber.options.as_published;
        self.numbers.extend(subscriber.number);
    }
}

/// Returns whether a filter is one of a group.
pub(super) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Returns what topics are matched against: a filter without `$share/GROUP/`.
fn pattern(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |(_, pattern)| pattern)
}

/// Checks a filter.
///
/// Source: MQTT 5.0, sections 4.7.1 and 4.8.2.
pub(super) fn check_filter(filter: &str) -> Result<(), Reason> {
    if let Some(rest) = filter.strip_prefix("$share/") {
        let group = rest.split_once('/').filter(|(group, _)| !group.is_empty() && !group.contains(['+', '#']));
        group.ok_or(Reason::FILTER)?;
    }
    let pattern = pattern(filter);
    let levels = pattern.split('/').count();
    let fits = |(index, level): (usize, &str)| match level {
        "+" => true,
        "#" => index + 1 == levels,
        _ => !level.contains(['+', '#']),
    };
    match !pattern.is_empty() && levels <= MAX_LEVELS && pattern.split('/').enumerate().all(fits) {
        true => Ok(()),
        false => Err(Reason::FILTER),
    }
}
