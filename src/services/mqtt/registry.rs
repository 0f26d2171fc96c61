//! Who wants which filters, and what the broker has been asked for.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::services::clock::Clock;
use crate::services::mqtt::Error;
use crate::services::mqtt::dedup::{Dedup, Way};
use crate::services::mqtt::filter_table::{FilterTable, Part};
use crate::services::mqtt::inbox::Messages;
use crate::services::mqtt::message::{Message, SubscribeOptions};
use crate::services::mqtt::subscriber::Subscriber;
use crate::services::mqtt::trie::Trie;
use crate::services::mqtt::wire::{Outgoing, SubscribeFilter};
use crate::topic::Filter;

/// How long a filter that nobody wants any more stays subscribed: a reload or the next `mqtt_receive` may want it again at once.
const LINGER: Duration = Duration::from_millis(500);

/// How many filters, and how many bytes of them, one packet carries.
const PER_PACKET: (usize, usize) = (200, 32 << 10);

/// How many packets are unanswered at a time.
const UNANSWERED: usize = 50;

/// What a subscriber hears about its subscription: `None` until the broker has answered.
pub(super) type Ready = watch::Receiver<Option<Result<(), Error>>>;

/// Who wants which filters, and what the broker has been asked for.
pub(super) struct Registry {
    /// The clock of a held world.
    pub(super) clock: Option<Clock>,
    broker: String,
    next: u64,
    subscribers: HashMap<u64, Subscriber>,
    // A subscriber and which of its filters.
    index: Trie<Part>,
    entries: FilterTable,
    // The filters for which the broker may have to be asked for something.
    open: BTreeSet<String>,
    // Those that nobody wants any more, and since when.
    lingering: BTreeSet<(Instant, String)>,
    asked: HashMap<u16, Ask>,
    // Whether messages come with the numbers of the filters they match (MQTT 5).
    has_subscription_ids: bool,
    overlap: Dedup,
}

enum Ask {
    Subscribe(Vec<(String, u8)>),
    Unsubscribe(Vec<String>),
}

enum Need {
    Nothing,
    Later(Instant),
    Subscribe(SubscribeFilter),
    Unsubscribe,
}

impl Registry {
    pub(super) fn new(broker: &str) -> Self {
        Self {
            clock: None,
            broker: broker.to_owned(),
            next: 0,
            subscribers: HashMap::new(),
            index: Trie::new(),
            entries: FilterTable::default(),
            open: BTreeSet::new(),
            lingering: BTreeSet::new(),
            asked: HashMap::new(),
            has_subscription_ids: false,
            overlap: Dedup::default(),
        }
    }

    /// Adds a subscriber; returns its number, its messages and its news.
    pub(super) fn add(&mut self, filters: &[Filter], options: SubscribeOptions) -> (u64, Messages, Ready) {
        let id = self.next;
        self.next += 1;
        let (mut subscriber, messages, ready) = Subscriber::new(filters, options, self.clock.clone());
        for (place, filter) in filters.iter().enumerate() {
            let entry = self.entries.entry(filter.wire());
            entry.parts.push((id, place));
            entry.unwanted_since = None;
            if entry.confirmed.is_some_and(|confirmed| confirmed >= options.qos) && entry.no_local <= options.no_local {
                subscriber.is_there_already(place);
            }
            self.open.insert(filter.wire().to_owned());
            self.index.insert(filter.pattern(), (id, place));
        }
        self.subscribers.insert(id, subscriber);
        (id, messages, ready)
    }

    /// Takes a subscriber away.
    pub(super) fn remove(&mut self, id: u64, now: Instant) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        for (place, filter) in subscriber.filters().enumerate() {
            self.index.remove(filter.pattern(), (id, place));
            if let Some(entry) = self.entries.get_mut(filter.wire()) {
                entry.parts.retain(|part| *part != (id, place));
                entry.unwanted_since = entry.parts.is_empty().then_some(now);
            }
            self.open.insert(filter.wire().to_owned());
        }
    }

    /// Returns whether nobody wants anything.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Gives a message to all who want it; `subscription_ids` are those of the filters for which it came, if the broker tells.
    pub(super) fn deliver(&mut self, message: &Message, subscription_ids: &[u32], now: Instant) {
        let mut parts = self.parts(message, subscription_ids, now);
        parts.sort_unstable();
        let mut served = None;
        for (id, place) in parts {
            let Some(subscriber) = self.subscribers.get_mut(&id).filter(|_| served != Some(id)) else { continue };
            // Some brokers send a message once for each filter that matches it.
            let is_first = subscription_ids.is_empty() || subscriber.first_match(&message.topic) == Some(place);
            if subscriber.wants(place, message, is_first, now) || subscriber.notes(message) {
                served = Some(id);
                subscriber.take(message);
            }
        }
    }

    /// Starts a connection: with the session of before, or with a new one, for which everything is asked again.
    pub(super) fn connected(&mut self, session_present: bool, has_subscription_ids: bool) {
        self.asked.clear();
        self.has_subscription_ids = has_subscription_ids;
        self.subscribers.values_mut().for_each(Subscriber::reconnected);
        for (wire, entry) in self.entries.iter_mut() {
            entry.is_asked = false;
            if !session_present {
                entry.confirmed = None;
                entry.refused = false;
            }
            self.open.insert(wire.clone());
        }
    }

    /// Returns what to ask the broker for next.
    pub(super) fn ask(&mut self, now: Instant, packet_id: impl FnOnce(&Self) -> u16) -> Option<Outgoing> {
        if self.asked.len() >= UNANSWERED {
            return None;
        }
        while self.lingering.first().is_some_and(|(since, _)| now >= *since + LINGER) {
            self.open.extend(self.lingering.pop_first().map(|(_, wire)| wire));
        }
        let most = if self.has_subscription_ids { 1 } else { PER_PACKET.0 };
        let (mut wanted, mut unwanted, mut bytes) = (Vec::new(), Vec::new(), 0);
        while wanted.len() < most && unwanted.len() < PER_PACKET.0 && bytes < PER_PACKET.1 {
            let Some(wire) = self.open.pop_first() else { break };
            bytes += wire.len();
            match self.need(&wire, now) {
                Need::Nothing => {}
                Need::Later(since) => {
                    self.lingering.insert((since, wire));
                }
                Need::Subscribe(want) if unwanted.is_empty() => wanted.push(want),
                Need::Unsubscribe if wanted.is_empty() => unwanted.push(wire),
                _ => {
                    // It waits for the next packet, which is of the other sort.
                    self.open.insert(wire);
                    break;
                }
            }
        }
        if wanted.is_empty() && unwanted.is_empty() {
            return None;
        }
        let id = packet_id(self);
        Some(if wanted.is_empty() { self.unsubscribe(id, unwanted) } else { self.subscribe(id, wanted) })
    }

    /// Returns whether a packet id is in use.
    pub(super) fn uses(&self, packet: u16) -> bool {
        self.asked.contains_key(&packet)
    }

    /// Returns when [`Registry::ask`] may have something to ask that it has not now.
    pub(super) fn due(&self) -> Option<Instant> {
        let earliest = self.lingering.first().filter(|_| self.asked.len() < UNANSWERED);
        earliest.map(|(since, _)| *since + LINGER)
    }

    /// Notes the answer to a SUBSCRIBE: for each filter the QoS or why not.
    pub(super) fn granted(&mut self, packet: u16, answers: Vec<Result<u8, String>>, now: Instant) {
        let Some(Ask::Subscribe(filters)) = self.asked.remove(&packet) else { return };
        let answers = answers.into_iter().chain(std::iter::repeat_with(|| Err("it gives no answer".into())));
        for ((wire, qos), answer) in filters.into_iter().zip(answers) {
            let Some(entry) = self.entries.get_mut(&wire) else { continue };
            let broker = &self.broker;
            entry.is_asked = false;
            let outcome = match answer {
                Ok(granted) => {
                    entry.confirmed = Some(qos);
                    entry.confirmed_at = Some(now);
                    if granted < qos {
                        info!(broker, filter = wire, "the broker gives QoS {granted} instead of {qos}");
                    }
                    Ok(())
                }
                Err(why) => {
                    entry.refused = true;
                    warn!(broker, filter = wire, "the broker refuses the subscription: {why}");
                    Err(Error::Refused(format!("the filter `{wire}`: {why}")))
                }
            };
            for (id, place) in entry.parts.clone() {
                if let Some(subscriber) = self.subscribers.get_mut(&id) {
                    subscriber.answered(place, &outcome, now);
                }
            }
            self.open.insert(wire);
        }
    }

    /// Notes the answer to an UNSUBSCRIBE.
    pub(super) fn revoked(&mut self, packet: u16) {
        let Some(Ask::Unsubscribe(filters)) = self.asked.remove(&packet) else { return };
        for wire in filters {
            if let Some(entry) = self.entries.get_mut(&wire) {
                entry.confirmed = None;
                entry.is_asked = false;
            }
            self.open.insert(wire);
        }
    }

    fn subscribe(&mut self, id: u16, wanted: Vec<SubscribeFilter>) -> Outgoing {
        for want in &wanted {
            let Some(entry) = self.entries.get_mut(&want.filter) else { continue };
            (entry.is_asked, entry.no_local) = (true, want.no_local);
            for (id, place) in entry.parts.clone() {
                if let Some(subscriber) = self.subscribers.get_mut(&id) {
                    subscriber.asked(place);
                }
            }
        }
        let asked = wanted.iter().map(|want| (want.filter.clone(), want.qos)).collect();
        self.asked.insert(id, Ask::Subscribe(asked));
        Outgoing::Subscribe { id, filters: wanted }
    }

    fn unsubscribe(&mut self, id: u16, unwanted: Vec<String>) -> Outgoing {
        for wire in &unwanted {
            if let Some(entry) = self.entries.get_mut(wire) {
                entry.is_asked = true;
            }
        }
        self.asked.insert(id, Ask::Unsubscribe(unwanted.clone()));
        Outgoing::Unsubscribe { id, filters: unwanted }
    }

    fn need(&mut self, wire: &str, now: Instant) -> Need {
        let Some(entry) = self.entries.get(wire) else { return Need::Nothing };
        if entry.is_asked {
            // The answer opens it again.
            return Need::Nothing;
        }
        let subscribers = &self.subscribers;
        let members = entry.parts.iter().filter_map(|(id, place)| Some((subscribers.get(id)?, *place)));
        let Some(qos) = members.clone().map(|(member, _)| member.options.qos).max() else {
            return match (entry.confirmed, entry.unwanted_since) {
                (Some(_), Some(since)) if now < since + LINGER => Need::Later(since),
                (Some(_), _) => Need::Unsubscribe,
                (None, _) => {
                    self.entries.remove(wire);
                    Need::Nothing
                }
            };
        };
        let has_new = members.clone().any(|(member, place)| member.waits_for_retained(place));
        // What one of them wants to hear, the broker has to send.
        let no_local = members.clone().all(|(member, _)| member.options.no_local);
        if entry.refused || (entry.confirmed >= Some(qos) && entry.no_local == no_local && !has_new) {
            return Need::Nothing;
        }
        if !no_local && members.clone().any(|(member, _)| member.options.no_local) {
            let broker = &self.broker;
            warn!(broker, filter = wire, "`no_local` is of no use: another trigger wants this filter without it");
        }
        let qos = qos.max(entry.confirmed.unwrap_or(0));
        let subscription_id = self.has_subscription_ids.then_some(entry.subscription_id);
        Need::Subscribe(SubscribeFilter {
            filter: wire.to_owned(),
            qos,
            no_local,
            subscription_id,
            send_retained: has_new,
        })
    }

    /// Returns the subscribers' filters for which a message came.
    fn parts(&mut self, message: &Message, subscription_ids: &[u32], now: Instant) -> Vec<Part> {
        let topic = &message.topic;
        let mut told: Vec<_> =
            self.entries.with_ids(subscription_ids).flat_map(|entry| &entry.parts).copied().collect();
        if self.entries.with_ids(subscription_ids).any(|entry| entry.parts.is_empty()) {
            let mut new = self.index.find(topic);
            new.retain(|part| self.is_fresh(part, now));
            if !new.is_empty() && self.overlap.is_news(message.print(), Way::Other, now) {
                told.extend(new);
            }
            return told;
        }
        if told.iter().any(|part| self.is_fresh(part, now)) && !self.overlap.is_news(message.print(), Way::Own, now) {
            told.retain(|part| !self.is_fresh(part, now));
            return told;
        }
        // A session of before may number its filters otherwise.
        let fits = |(id, place): &Part| self.subscribers.get(id).is_some_and(|member| member.matches(*place, topic));
        if !told.is_empty() && told.iter().all(fits) { told } else { self.index.find(topic) }
    }

    /// Returns whether the broker may not serve a filter yet, or not have done so when what comes now came to it: what comes for
    /// one that has just been given up is meant for it too.
    fn is_fresh(&self, (id, place): &Part, now: Instant) -> bool {
        let filter = self.subscribers.get(id).and_then(|subscriber| subscriber.filters().nth(*place));
        let entry = filter.and_then(|filter| self.entries.get(filter.wire()));
        entry.is_some_and(|entry| entry.confirmed.is_none() || entry.confirmed_at.is_some_and(|at| now < at + LINGER))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::services::mqtt::message::Retained;

    const LIVE: SubscribeOptions =
        SubscribeOptions { qos: 0, retained: Retained::Live, no_local: false, all_retained: false };

    /// Answers every question; returns how many packets it took.
    fn ack(registry: &mut Registry) -> usize {
        let (now, mut packets) = (Instant::now(), 0);
        while let Some(question) = registry.ask(now, |_| 1) {
            packets += 1;
            match question {
                Outgoing::Subscribe { id, filters: wanted } => {
                    registry.granted(id, wanted.iter().map(|want| Ok(want.qos)).collect(), now);
                }
                Outgoing::Unsubscribe { id, .. } => registry.revoked(id),
                other => panic!("{other:?}"),
            }
        }
        packets
    }

    #[test]
    fn ten_thousand_filters_are_asked_for_once_each() {
        for (has_subscription_ids, expected) in [(false, 50), (true, 10_000)] {
            let mut registry = Registry::new("test");
            let wanted: Vec<_> = (0..10_000)
                .map(|number| registry.add(&[Filter::parse(&format!("a/{number}/+")).unwrap()], LIVE))
                .collect();
            registry.connected(false, has_subscription_ids);
            assert_eq!(ack(&mut registry), expected);
            assert_eq!(ack(&mut registry), 0, "nothing is asked for twice");
            for (id, ..) in wanted {
                registry.remove(id, Instant::now() - 2 * LINGER);
            }
            assert_eq!(ack(&mut registry), 50);
            assert!(registry.entries.is_empty() && registry.open.is_empty());
        }
    }

    /// Returns a message of QoS 0.
    pub(in crate::services::mqtt) fn message(payload: &str) -> Message {
        Message {
            topic: "n/1".into(),
            payload: payload.to_owned().into(),
            qos: 0,
            retain: false,
            dup: false,
            broker: "test".into(),
            properties: crate::value::Map::new(),
            received: jiff::Timestamp::UNIX_EPOCH,
            ack: std::sync::Arc::default(),
        }
    }

    #[test]
    fn who_takes_anothers_place_misses_nothing_and_has_nothing_twice() {
        let mut registry = Registry::new("test");
        let (old, ..) = registry.add(&[Filter::parse("n/+").unwrap()], LIVE);
        registry.connected(false, true);
        assert_eq!(ack(&mut registry), 1);
        registry.remove(old, Instant::now());
        let (_, mut messages, _) = registry.add(&[Filter::parse("n/#").unwrap()], LIVE);
        let number = |registry: &Registry, wire: &str| registry.entries.get(wire).unwrap().subscription_id;
        let (gone, new) = (number(&registry, "n/+"), number(&registry, "n/#"));
        // A broker that sends one copy for each filter; it does not know of the new one, then it does, then it has said so.
        registry.deliver(&message("1"), &[gone], Instant::now());
        registry.deliver(&message("2"), &[gone], Instant::now());
        registry.deliver(&message("2"), &[new], Instant::now());
        registry.deliver(&message("2"), &[new, gone], Instant::now());
        assert_eq!(ack(&mut registry), 1);
        registry.deliver(&message("3"), &[gone], Instant::now());
        registry.deliver(&message("3"), &[new], Instant::now());
        registry.deliver(&message("4"), &[new], Instant::now());
        registry.deliver(&message("4"), &[gone], Instant::now());
        registry.deliver(&message("late"), &[gone], Instant::now());
        registry.deliver(&message("not meant"), &[gone], Instant::now() + 2 * LINGER);
        let seen: Vec<_> = std::iter::from_fn(|| messages.try_recv()).map(|message| message.payload).collect();
        assert_eq!(seen, ["1", "2", "2", "3", "4", "late"]);
    }

    #[test]
    fn a_filter_that_is_wanted_again_soon_is_not_given_back() {
        let mut registry = Registry::new("test");
        let filter = [Filter::parse("a").unwrap()];
        let (first, ..) = registry.add(&filter, LIVE);
        registry.connected(false, false);
        assert_eq!(ack(&mut registry), 1);
        registry.remove(first, Instant::now());
        assert_eq!(ack(&mut registry), 0);
        assert!(registry.due().is_some());
        let (_, _, ready) = registry.add(&filter, LIVE);
        assert_eq!(*ready.borrow(), Some(Ok(())), "it is there");
        assert_eq!(ack(&mut registry), 0);
        registry.add(&filter, SubscribeOptions { qos: 1, ..LIVE });
        assert_eq!(ack(&mut registry), 1, "a higher QoS is asked for");
    }

    #[test]
    fn our_own_messages_are_left_out_only_if_all_want_that() {
        let mut registry = Registry::new("test");
        let filter = [Filter::parse("a").unwrap()];
        let ask = |registry: &mut Registry| match registry.ask(Instant::now(), |_| 1) {
            Some(Outgoing::Subscribe { id, filters: wanted }) => {
                registry.granted(id, vec![Ok(wanted[0].qos)], Instant::now());
                Some(wanted[0].no_local)
            }
            _ => None,
        };
        registry.connected(false, true);
        registry.add(&filter, SubscribeOptions { no_local: true, ..LIVE });
        assert_eq!(ask(&mut registry), Some(true));
        let (other, ..) = registry.add(&filter, LIVE);
        assert_eq!(ask(&mut registry), Some(false));
        registry.remove(other, Instant::now());
        assert_eq!((ask(&mut registry), ask(&mut registry)), (Some(true), None));
    }
}
