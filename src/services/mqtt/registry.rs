//! Subscribers and their filters, and the subscriptions at the broker.

use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;
use tracing::{info, warn};

use crate::event::ReceivedMessage;
use crate::services::clock::Clock;
use crate::services::mqtt::ack_token::AckToken;
use crate::services::mqtt::dedup::{Dedup, Source};
use crate::services::mqtt::error::Error;
use crate::services::mqtt::filter_table::{FilterRef, FilterTable};
use crate::services::mqtt::inbox::{self, Messages};
use crate::services::mqtt::message::{SubscribeOptions, fingerprint};
use crate::services::mqtt::request_queue::{Batch, LINGER, Need, RequestQueue};
use crate::services::mqtt::subscriber::{Destination, Ready, SinkDelivery, Subscriber};
use crate::services::mqtt::trie::Trie;
use crate::services::mqtt::wire::{Outgoing, SubscribeFilter};
use crate::topic::Filter;

/// The subscribers of one session. Subscribers with the same filter share one subscription at the broker.
pub(super) struct Registry {
    /// The virtual clock of a sandbox.
    pub(super) clock: Option<Clock>,
    broker: String,
    next_id: u64,
    subscribers: AHashMap<u64, Subscriber>,
    index: Trie<FilterRef>,
    filter_table: FilterTable,
    requests: RequestQueue,
    // Whether the broker sends subscription identifiers with messages (MQTT 5).
    has_subscription_ids: bool,
    dedup: Dedup,
    /// Messages for sinks, to be passed on when the session is not locked.
    pub(super) deliveries: Vec<SinkDelivery>,
}

impl Registry {
    pub(super) fn new(broker: &str) -> Self {
        Self {
            clock: None,
            broker: broker.to_owned(),
            next_id: 0,
            subscribers: AHashMap::new(),
            index: Trie::new(),
            filter_table: FilterTable::default(),
            requests: RequestQueue::default(),
            has_subscription_ids: false,
            dedup: Dedup::default(),
            deliveries: Vec::new(),
        }
    }

    /// Adds a subscriber with an inbox; returns its id, its messages, and the state of its subscription.
    pub(super) fn add(&mut self, filters: &[Filter], options: SubscribeOptions) -> (u64, Messages, Ready) {
        let (sender, messages) = inbox::queue(self.clock.clone());
        let (id, ready) = self.add_to(filters, options, Destination::Inbox(sender));
        (id, messages, ready)
    }

    /// Adds a subscriber; returns its id, and the state of its subscription.
    pub(super) fn add_to(
        &mut self,
        filters: &[Filter],
        options: SubscribeOptions,
        destination: Destination,
    ) -> (u64, Ready) {
        let id = self.next_id;
        self.next_id += 1;
        let (mut subscriber, ready) = Subscriber::new(filters, options, destination);
        for (at, filter) in filters.iter().enumerate() {
            let entry = self.filter_table.entry(filter.wire());
            entry.users.push((id, at));
            entry.unused_since = None;
            if entry.acknowledged_qos.is_some_and(|qos| qos >= options.qos) && entry.no_local <= options.no_local {
                subscriber.already_subscribed(at);
            }
            self.requests.mark_changed(filter.wire().to_owned());
            self.index.insert(filter.pattern(), (id, at));
        }
        self.subscribers.insert(id, subscriber);
        (id, ready)
    }

    /// Removes a subscriber.
    pub(super) fn remove(&mut self, id: u64, now: Instant) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        for (at, filter) in subscriber.filters().enumerate() {
            self.index.remove(filter.pattern(), (id, at));
            if let Some(entry) = self.filter_table.get_mut(filter.wire()) {
                entry.users.retain(|user| *user != (id, at));
                entry.unused_since = entry.users.is_empty().then_some(now);
            }
            self.requests.mark_changed(filter.wire().to_owned());
        }
    }

    /// Returns whether there is no subscriber.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Delivers a message to every subscriber that it matches, once each.
    pub(super) fn deliver(
        &mut self,
        message: &Arc<ReceivedMessage>,
        ack: Option<&AckToken>,
        subscription_ids: &[u32],
        now: Instant,
    ) {
        let mut matching = self.matching(message, subscription_ids, now);
        matching.sort_unstable();
        let mut delivered = None;
        for (id, at) in matching {
            let Some(subscriber) = self.subscribers.get_mut(&id).filter(|_| delivered != Some(id)) else { continue };
            // Some brokers send a message once for each filter that matches it.
            let is_first = subscription_ids.is_empty() || subscriber.first_match(&message.topic) == Some(at);
            if subscriber.accepts(at, message, is_first, now) || subscriber.records(message) {
                delivered = Some(id);
                subscriber.push(message, ack, &mut self.deliveries);
            }
        }
    }

    /// Starts a connection. Without session present, all filters are subscribed again.
    pub(super) fn connected(&mut self, session_present: bool, has_subscription_ids: bool) {
        self.requests.clear_unanswered();
        self.has_subscription_ids = has_subscription_ids;
        self.subscribers.values_mut().for_each(Subscriber::reconnected);
        for (filter, entry) in self.filter_table.iter_mut() {
            entry.is_request_pending = false;
            if !session_present {
                entry.acknowledged_qos = None;
                entry.is_refused = false;
            }
            self.requests.mark_changed(filter.clone());
        }
    }

    /// Returns the next SUBSCRIBE or UNSUBSCRIBE; `packet_id` returns a free packet identifier.
    pub(super) fn next_request(&mut self, now: Instant, packet_id: impl FnOnce(&Self) -> u16) -> Option<Outgoing> {
        // A subscription identifier applies to all filters of a packet.
        let max_subscribe = self.has_subscription_ids.then_some(1);
        let mut requests = std::mem::take(&mut self.requests);
        let batch = requests.next_batch(now, max_subscribe, |filter| self.need(filter, now));
        self.requests = requests;
        let batch = batch?;
        let id = packet_id(self);
        Some(match batch {
            Batch::Subscribe(filters) => self.subscribe(id, filters),
            Batch::Unsubscribe(filters) => self.unsubscribe(id, filters),
        })
    }

    /// Returns whether a packet identifier is in use.
    pub(super) fn uses(&self, packet_id: u16) -> bool {
        self.requests.uses(packet_id)
    }

    /// Returns when [`Registry::next_request`] may have a request that it does not have now.
    pub(super) fn due(&self) -> Option<Instant> {
        self.requests.due()
    }

    /// Records a SUBACK: for each filter the granted QoS or the reason of the refusal.
    pub(super) fn suback_received(&mut self, packet_id: u16, granted: Vec<Result<u8, String>>, now: Instant) {
        let Some(filters) = self.requests.take_subscribe(packet_id) else { return };
        let granted = granted.into_iter().chain(std::iter::repeat_with(|| Err("the answer is missing".into())));
        for ((filter, qos), granted) in filters.into_iter().zip(granted) {
            let Some(entry) = self.filter_table.get_mut(&filter) else { continue };
            let broker = &self.broker;
            entry.is_request_pending = false;
            let outcome = match granted {
                Ok(granted) => {
                    entry.acknowledged_qos = Some(qos);
                    entry.acknowledged_at = Some(now);
                    if granted < qos {
                        info!(broker, filter, "the broker grants QoS {granted} instead of {qos}");
                    }
                    Ok(())
                }
                Err(why) => {
                    entry.is_refused = true;
                    warn!(broker, filter, "the broker refuses the subscription: {why}");
                    Err(Error::Refused(format!("the filter `{filter}`: {why}")))
                }
            };
            for (id, at) in entry.users.clone() {
                if let Some(subscriber) = self.subscribers.get_mut(&id) {
                    subscriber.suback_received(at, &outcome, now);
                }
            }
            self.requests.mark_changed(filter);
        }
    }

    /// Records an UNSUBACK.
    pub(super) fn unsuback_received(&mut self, packet_id: u16) {
        let Some(filters) = self.requests.take_unsubscribe(packet_id) else { return };
        for filter in filters {
            if let Some(entry) = self.filter_table.get_mut(&filter) {
                entry.acknowledged_qos = None;
                entry.is_request_pending = false;
            }
            self.requests.mark_changed(filter);
        }
    }

    fn subscribe(&mut self, id: u16, filters: Vec<SubscribeFilter>) -> Outgoing {
        for filter in &filters {
            let Some(entry) = self.filter_table.get_mut(&filter.filter) else { continue };
            (entry.is_request_pending, entry.no_local) = (true, filter.no_local);
            for (id, at) in entry.users.clone() {
                if let Some(subscriber) = self.subscribers.get_mut(&id) {
                    subscriber.subscribe_sent(at);
                }
            }
        }
        let requested = filters.iter().map(|filter| (filter.filter.clone(), filter.qos)).collect();
        self.requests.subscribe_sent(id, requested);
        Outgoing::Subscribe { id, filters }
    }

    fn unsubscribe(&mut self, id: u16, filters: Vec<String>) -> Outgoing {
        for filter in &filters {
            if let Some(entry) = self.filter_table.get_mut(filter) {
                entry.is_request_pending = true;
            }
        }
        self.requests.unsubscribe_sent(id, filters.clone());
        Outgoing::Unsubscribe { id, filters }
    }

    fn need(&mut self, filter: &str, now: Instant) -> Need {
        let Some(entry) = self.filter_table.get(filter) else { return Need::Nothing };
        if entry.is_request_pending {
            // The answer marks it as changed again.
            return Need::Nothing;
        }
        let subscribers = &self.subscribers;
        let users = entry.users.iter().filter_map(|(id, at)| Some((subscribers.get(id)?, *at)));
        let Some(qos) = users.clone().map(|(user, _)| user.options.qos).max() else {
            return match (entry.acknowledged_qos, entry.unused_since) {
                (Some(_), Some(since)) if now < since + LINGER => Need::Linger(since),
                (Some(_), _) => Need::Unsubscribe,
                (None, _) => {
                    self.filter_table.remove(filter);
                    Need::Nothing
                }
            };
        };
        let send_retained = users.clone().any(|(user, at)| user.needs_retained(at));
        // The broker leaves out messages of this client only if all users of the filter want that.
        let no_local = users.clone().all(|(user, _)| user.options.no_local);
        let is_sufficient = entry.acknowledged_qos >= Some(qos) && entry.no_local == no_local && !send_retained;
        if entry.is_refused || is_sufficient {
            return Need::Nothing;
        }
        if !no_local && users.clone().any(|(user, _)| user.options.no_local) {
            let broker = &self.broker;
            warn!(broker, filter, "`no_local` has no effect: another trigger uses this filter without it");
        }
        let qos = qos.max(entry.acknowledged_qos.unwrap_or(0));
        let subscription_id = self.has_subscription_ids.then_some(entry.subscription_id);
        Need::Subscribe(SubscribeFilter { filter: filter.to_owned(), qos, no_local, subscription_id, send_retained })
    }

    /// Returns the filters of subscribers that a message matches.
    fn matching(&mut self, message: &ReceivedMessage, subscription_ids: &[u32], now: Instant) -> Vec<FilterRef> {
        let topic = &message.topic;
        let table = &self.filter_table;
        let mut identified: Vec<_> = table.with_ids(subscription_ids).flat_map(|entry| &entry.users).copied().collect();
        if table.with_ids(subscription_ids).any(|entry| entry.users.is_empty()) {
            let mut recent = self.index.find(topic);
            recent.retain(|filter| self.is_recent(filter, now));
            if !recent.is_empty()
                && self.dedup.is_new(fingerprint(&message.topic, &message.payload), Source::Removed, now)
            {
                identified.extend(recent);
            }
            return identified;
        }
        if identified.iter().any(|filter| self.is_recent(filter, now))
            && !self.dedup.is_new(fingerprint(&message.topic, &message.payload), Source::Current, now)
        {
            identified.retain(|filter| !self.is_recent(filter, now));
            return identified;
        }
        // A session of an earlier process may have other identifiers for its filters.
        let is_match = |(id, at): &FilterRef| self.subscribers.get(id).is_some_and(|user| user.matches(*at, topic));
        if !identified.is_empty() && identified.iter().all(is_match) { identified } else { self.index.find(topic) }
    }

    /// Returns whether the broker may not have processed the SUBSCRIBE of a filter when it sent the current message. A message for a filter
    /// that has just been removed is meant for such a filter too.
    fn is_recent(&self, (id, at): &FilterRef, now: Instant) -> bool {
        let filter = self.subscribers.get(id).and_then(|subscriber| subscriber.filters().nth(*at));
        let entry = filter.and_then(|filter| self.filter_table.get(filter.wire()));
        entry.is_some_and(|entry| {
            entry.acknowledged_qos.is_none() || entry.acknowledged_at.is_some_and(|at| now < at + LINGER)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::services::mqtt::message::Retained;

    const LIVE: SubscribeOptions =
        SubscribeOptions { qos: 0, retained: Retained::Live, no_local: false, all_retained: false };

    /// Answers every request; returns the number of packets.
    fn answer_all(registry: &mut Registry) -> usize {
        let (now, mut packets) = (Instant::now(), 0);
        while let Some(request) = registry.next_request(now, |_| 1) {
            packets += 1;
            match request {
                Outgoing::Subscribe { id, filters } => {
                    registry.suback_received(id, filters.iter().map(|filter| Ok(filter.qos)).collect(), now);
                }
                Outgoing::Unsubscribe { id, .. } => registry.unsuback_received(id),
                other => panic!("{other:?}"),
            }
        }
        packets
    }

    #[test]
    fn ten_thousand_filters_are_subscribed_once_each() {
        for (has_subscription_ids, expected) in [(false, 50), (true, 10_000)] {
            let mut registry = Registry::new("test");
            let added: Vec<_> = (0..10_000)
                .map(|number| registry.add(&[Filter::parse(&format!("a/{number}/+")).unwrap()], LIVE))
                .collect();
            registry.connected(false, has_subscription_ids);
            assert_eq!(answer_all(&mut registry), expected);
            assert_eq!(answer_all(&mut registry), 0, "no filter is subscribed twice");
            for (id, ..) in added {
                registry.remove(id, Instant::now() - 2 * LINGER);
            }
            assert_eq!(answer_all(&mut registry), 50);
            assert!(registry.filter_table.is_empty() && !registry.requests.has_changed_filters());
        }
    }

    /// Returns a message of QoS 0.
    pub(in crate::services::mqtt) fn received(payload: &str) -> ReceivedMessage {
        ReceivedMessage {
            topic: "n/1".into(),
            payload: payload.to_owned().into(),
            qos: 0,
            retain: false,
            dup: false,
            broker: "test".into(),
            properties: crate::value::Map::new(),
            received: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_subscriber_that_replaces_another_misses_no_message_and_gets_none_twice() {
        let mut registry = Registry::new("test");
        let (old, ..) = registry.add(&[Filter::parse("n/+").unwrap()], LIVE);
        registry.connected(false, true);
        assert_eq!(answer_all(&mut registry), 1);
        registry.remove(old, Instant::now());
        let (_, mut messages, _) = registry.add(&[Filter::parse("n/#").unwrap()], LIVE);
        let id_of = |registry: &Registry, filter: &str| registry.filter_table.get(filter).unwrap().subscription_id;
        let (removed, new) = (id_of(&registry, "n/+"), id_of(&registry, "n/#"));
        // A broker that sends one copy per filter: before it has processed the new one, after that, and after its SUBACK.
        registry.deliver(&Arc::new(received("1")), None, &[removed], Instant::now());
        registry.deliver(&Arc::new(received("2")), None, &[removed], Instant::now());
        registry.deliver(&Arc::new(received("2")), None, &[new], Instant::now());
        registry.deliver(&Arc::new(received("2")), None, &[new, removed], Instant::now());
        assert_eq!(answer_all(&mut registry), 1);
        registry.deliver(&Arc::new(received("3")), None, &[removed], Instant::now());
        registry.deliver(&Arc::new(received("3")), None, &[new], Instant::now());
        registry.deliver(&Arc::new(received("4")), None, &[new], Instant::now());
        registry.deliver(&Arc::new(received("4")), None, &[removed], Instant::now());
        registry.deliver(&Arc::new(received("late")), None, &[removed], Instant::now());
        registry.deliver(&Arc::new(received("not meant")), None, &[removed], Instant::now() + 2 * LINGER);
        let seen: Vec<_> = std::iter::from_fn(|| messages.try_recv()).map(|message| message.payload.clone()).collect();
        assert_eq!(seen, ["1", "2", "2", "3", "4", "late"]);
    }

    #[test]
    fn a_filter_that_is_used_again_soon_is_not_unsubscribed() {
        let mut registry = Registry::new("test");
        let filter = [Filter::parse("a").unwrap()];
        let (first, ..) = registry.add(&filter, LIVE);
        registry.connected(false, false);
        assert_eq!(answer_all(&mut registry), 1);
        registry.remove(first, Instant::now());
        assert_eq!(answer_all(&mut registry), 0);
        assert!(registry.due().is_some());
        let (_, _, ready) = registry.add(&filter, LIVE);
        assert_eq!(*ready.borrow(), Some(Ok(())), "it is subscribed");
        assert_eq!(answer_all(&mut registry), 0);
        registry.add(&filter, SubscribeOptions { qos: 1, ..LIVE });
        assert_eq!(answer_all(&mut registry), 1, "a higher QoS is requested");
    }

    #[test]
    fn own_messages_are_left_out_only_if_all_subscribers_want_that() {
        let mut registry = Registry::new("test");
        let filter = [Filter::parse("a").unwrap()];
        let request = |registry: &mut Registry| match registry.next_request(Instant::now(), |_| 1) {
            Some(Outgoing::Subscribe { id, filters }) => {
                registry.suback_received(id, vec![Ok(filters[0].qos)], Instant::now());
                Some(filters[0].no_local)
            }
            _ => None,
        };
        registry.connected(false, true);
        registry.add(&filter, SubscribeOptions { no_local: true, ..LIVE });
        assert_eq!(request(&mut registry), Some(true));
        let (other, ..) = registry.add(&filter, LIVE);
        assert_eq!(request(&mut registry), Some(false));
        registry.remove(other, Instant::now());
        assert_eq!((request(&mut registry), request(&mut registry)), (Some(true), None));
    }
}
