//! One who wants the messages of some filters.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::services::clock::Clock;
use crate::services::mqtt::Error;
use crate::services::mqtt::inbox::{self, Messages, Sender};
use crate::services::mqtt::initial_retained::First;
use crate::services::mqtt::message::{AckToken, Message, Retained, SubscribeOptions};
use crate::services::mqtt::registry::Ready;
use crate::topic::Filter;

/// One who wants the messages of some filters, each message once.
pub(super) struct Subscriber {
    pub(super) options: SubscribeOptions,
    parts: Vec<Part>,
    sender: Sender,
    ready: watch::Sender<Option<Result<(), Error>>>,
    dropped: u64,
}

struct Part {
    filter: Filter,
    first: First,
    answer: Option<Result<(), Error>>,
}

impl Subscriber {
    pub(super) fn new(filters: &[Filter], options: SubscribeOptions, clock: Option<Clock>) -> (Self, Messages, Ready) {
        let (sender, messages) = inbox::queue(clock);
        let (ready, news) = watch::channel(None);
        let part = |filter: &Filter| Part { filter: filter.clone(), first: First::new(options.retained), answer: None };
        let parts = filters.iter().map(part).collect();
        (Self { options, parts, sender, ready, dropped: 0 }, messages, news)
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.parts.iter().map(|part| &part.filter)
    }

    pub(super) fn matches(&self, place: usize, topic: &str) -> bool {
        self.parts.get(place).is_some_and(|part| part.filter.matches(topic).is_some())
    }

    /// Returns the place of the first filter that matches a topic.
    pub(super) fn first_match(&self, topic: &str) -> Option<usize> {
        (0..self.parts.len()).find(|place| self.matches(*place, topic))
    }

    /// Returns whether the broker has yet to be asked for a filter's retained messages.
    pub(super) fn waits_for_retained(&self, place: usize) -> bool {
        self.parts.get(place).is_some_and(|part| part.first.is_wanted())
    }

    /// Notes that a filter is subscribed for others already.
    pub(super) fn is_there_already(&mut self, place: usize) {
        if self.options.retained == Retained::Live {
            self.ack(place, Ok(()));
        }
    }

    /// Notes that a SUBSCRIBE for a filter goes out.
    pub(super) fn asked(&mut self, place: usize) {
        if let Some(part) = self.parts.get_mut(place) {
            part.first.asked();
        }
    }

    /// Notes what the broker answered to a SUBSCRIBE for a filter.
    pub(super) fn answered(&mut self, place: usize, outcome: &Result<(), Error>, now: Instant) {
        let Some(part) = self.parts.get_mut(place) else { return };
        // One that came after the SUBSCRIBE went out gets its own.
        if part.first.answered(now) {
            self.ack(place, outcome.clone());
        }
    }

    /// Notes that a new connection begins.
    pub(super) fn reconnected(&mut self) {
        self.parts.iter_mut().for_each(|part| part.first.reconnected());
    }

    /// Returns whether a message that came for one of the filters is wanted; a live one only for the first filter that matches it.
    pub(super) fn wants(&mut self, place: usize, message: &Message, is_first: bool, now: Instant) -> bool {
        // Filters of one subscriber that overlap have the same retained messages.
        let print = if message.retain { print(&message.payload) } else { 0 };
        let has_it = message.retain && self.parts.iter().any(|part| part.first.has_seen(&message.topic, print));
        let Some(part) = self.parts.get_mut(place) else { return false };
        match (self.options.retained, message.retain) {
            (Retained::Live, retain) => !retain && is_first,
            (_, true) => !has_it && part.first.takes(&message.topic, print, now),
            (wanted, false) => {
                part.first.overtaken(&message.topic, now);
                wanted == Retained::Initial && is_first
            }
        }
    }

    /// Returns whether a message that is not wanted is handed over all the same: never in the place of one that is.
    pub(super) fn notes(&self, message: &Message) -> bool {
        self.options.all_retained
            && message.retain
            && self.options.retained == Retained::Live
            && self.sender.is_relaxed()
    }

    /// Puts a message into the queue, with no more QoS than was asked for.
    pub(super) fn take(&mut self, message: &Message) {
        let mut message = message.clone();
        message.qos = message.qos.min(self.options.qos);
        message.ack = Arc::new(if message.qos == 0 { AckToken::default() } else { message.ack.share() });
        let (broker, topic) = (message.broker.clone(), message.topic.clone());
        if !self.sender.push(message) {
            if self.dropped == 0 {
                let waiting = inbox::CAPACITY;
                warn!(broker, topic, "{waiting} messages wait for one subscriber: more with QoS 0 are dropped");
            }
            self.dropped += 1;
        } else if self.dropped > 0 && self.sender.is_relaxed() {
            info!(broker, topic, "{} messages were dropped", self.dropped);
            self.dropped = 0;
        }
    }

    fn ack(&mut self, place: usize, outcome: Result<(), Error>) {
        if let Some(part) = self.parts.get_mut(place) {
            part.answer = Some(outcome);
        }
        let answers: Option<Result<Vec<()>, Error>> = self.parts.iter().map(|part| part.answer.clone()).collect();
        if let Some(answer) = answers {
            self.ready.send_replace(Some(answer.map(|_| ())));
        }
    }
}

/// Tells a payload from others.
fn print(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}
