//! A subscriber with its filters and its queue.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::event::ReceivedMessage;
use crate::services::mqtt::ack_token::AckToken;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::inbox::{self, Sender};
use crate::services::mqtt::initial_retained::InitialRetained;
use crate::services::mqtt::message::{Message, Retained, SubscribeOptions};
use crate::topic::Filter;

/// Result of a subscription: `None` until the broker has answered for all filters.
pub(super) type Ready = watch::Receiver<Option<Result<(), Error>>>;

/// A subscriber of one or several filters, which gets each message once.
pub(super) struct Subscriber {
    pub(super) options: SubscribeOptions,
    filters: Vec<SubscriberFilter>,
    destination: Destination,
    ready: watch::Sender<Option<Result<(), Error>>>,
    dropped: u64,
}

/// Receives the messages of a subscription as they arrive.
///
/// Called on the connection's task, in order and without a lock of the session. It must not block.
pub trait MessageSink: Send + Sync {
    /// Processes messages, oldest first.
    fn receive(&self, messages: Vec<Message>);
}

/// A message for a sink.
pub(super) type SinkDelivery = (Arc<dyn MessageSink>, Message);

/// Destination of a subscriber's messages.
pub(super) enum Destination {
    /// A bounded queue.
    Inbox(Sender),
    /// A sink, which is called when the session is not locked.
    Sink(Arc<dyn MessageSink>),
}

struct SubscriberFilter {
    filter: Filter,
    initial: InitialRetained,
    outcome: Option<Result<(), Error>>,
}

impl Subscriber {
    pub(super) fn new(filters: &[Filter], options: SubscribeOptions, destination: Destination) -> (Self, Ready) {
        let (ready, outcome) = watch::channel(None);
        let filters = filters.iter().map(|filter| SubscriberFilter {
            filter: filter.clone(),
            initial: InitialRetained::new(options.retained),
            outcome: None,
        });
        (Self { options, filters: filters.collect(), destination, ready, dropped: 0 }, outcome)
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter().map(|filter| &filter.filter)
    }

    /// Returns whether the filter at this position matches a topic.
    pub(super) fn matches(&self, at: usize, topic: &str) -> bool {
        self.filters.get(at).is_some_and(|filter| filter.filter.is_match(topic))
    }

    /// Returns the position of the first filter that matches a topic.
    pub(super) fn first_match(&self, topic: &str) -> Option<usize> {
        (0..self.filters.len()).find(|at| self.matches(*at, topic))
    }

    /// Returns whether a SUBSCRIBE is still to request the retained messages of a filter.
    pub(super) fn needs_retained(&self, at: usize) -> bool {
        self.filters.get(at).is_some_and(|filter| filter.initial.is_unrequested())
    }

    /// Records that a filter is already subscribed for another subscriber.
    pub(super) fn already_subscribed(&mut self, at: usize) {
        if self.options.retained == Retained::Live {
            self.set_outcome(at, Ok(()));
        }
    }

    /// Records that a SUBSCRIBE for a filter is sent.
    pub(super) fn subscribe_sent(&mut self, at: usize) {
        if let Some(filter) = self.filters.get_mut(at) {
            filter.initial.subscribe_sent();
        }
    }

    /// Records the SUBACK for a filter.
    pub(super) fn suback_received(&mut self, at: usize, outcome: &Result<(), Error>, now: Instant) {
        let Some(filter) = self.filters.get_mut(at) else { return };
        // A subscriber added after that SUBSCRIBE was sent gets a SUBSCRIBE of its own.
        if filter.initial.suback_received(now) {
            self.set_outcome(at, outcome.clone());
        }
    }

    /// Starts a connection.
    pub(super) fn reconnected(&mut self) {
        self.filters.iter_mut().for_each(|filter| filter.initial.reconnected());
    }

    /// Returns whether to deliver a message that matches a filter; live messages are delivered only for the first filter that matches.
    pub(super) fn accepts(&mut self, at: usize, message: &ReceivedMessage, is_first: bool, now: Instant) -> bool {
        // Overlapping filters of one subscriber have the same retained messages.
        let fingerprint = if message.retain { fingerprint(&message.payload) } else { 0 };
        let has_seen = |filter: &SubscriberFilter| filter.initial.has_seen(&message.topic, fingerprint);
        let is_repeated = message.retain && self.filters.iter().any(has_seen);
        let Some(filter) = self.filters.get_mut(at) else { return false };
        match (self.options.retained, message.retain) {
            (Retained::Live, retain) => !retain && is_first,
            (_, true) => !is_repeated && filter.initial.accepts(&message.topic, fingerprint, now),
            (retained, false) => {
                filter.initial.live_received(&message.topic, now);
                retained == Retained::Initial && is_first
            }
        }
    }

    /// Returns whether to deliver a retained message that is not accepted, for recording; not if the queue is more than half full.
    pub(super) fn records(&self, message: &ReceivedMessage) -> bool {
        let is_excluded = message.retain && self.options.retained == Retained::Live;
        self.options.all_retained && is_excluded && self.is_relaxed()
    }

    /// Passes a message on with at most the QoS of the subscription.
    pub(super) fn push(
        &mut self,
        message: &Arc<ReceivedMessage>,
        ack: Option<&AckToken>,
        deliveries: &mut Vec<SinkDelivery>,
    ) {
        let qos = message.qos.min(self.options.qos);
        let ack = ack.filter(|_| qos > 0).map(|ack| Arc::new(ack.share()));
        let delivered = Message { data: message.clone(), qos, ack };
        match &self.destination {
            Destination::Sink(sink) => deliveries.push((sink.clone(), delivered)),
            Destination::Inbox(sender) => {
                let (is_queued, is_relaxed) = (sender.push(delivered), sender.is_relaxed());
                self.count_dropped(message, is_queued, is_relaxed);
            }
        }
    }

    /// Logs the first dropped message of a full inbox, and the number of dropped messages once it is half empty.
    fn count_dropped(&mut self, message: &ReceivedMessage, is_queued: bool, is_relaxed: bool) {
        let (broker, topic) = (&*message.broker, message.topic.as_str());
        if !is_queued {
            if self.dropped == 0 {
                let capacity = inbox::CAPACITY;
                warn!(broker, topic, "the queue of a subscriber is full with {capacity} messages: QoS 0 is dropped");
            }
            self.dropped += 1;
        } else if self.dropped > 0 && is_relaxed {
            info!(broker, topic, "{} messages were dropped", self.dropped);
            self.dropped = 0;
        }
    }

    /// Returns whether the queue of the subscriber is at most half full.
    fn is_relaxed(&self) -> bool {
        match &self.destination {
            Destination::Inbox(sender) => sender.is_relaxed(),
            Destination::Sink(_) => true,
        }
    }

    fn set_outcome(&mut self, at: usize, outcome: Result<(), Error>) {
        if let Some(filter) = self.filters.get_mut(at) {
            filter.outcome = Some(outcome);
        }
        let outcomes: Option<Result<Vec<()>, Error>> =
            self.filters.iter().map(|filter| filter.outcome.clone()).collect();
        if let Some(outcome) = outcomes {
            self.ready.send_replace(Some(outcome.map(|_| ())));
        }
    }
}

/// Returns a hash of a payload.
fn fingerprint(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}
