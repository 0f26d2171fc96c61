//! Which retained messages are meant for a subscriber: those that the broker sends because this subscriber came, and no others.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::services::mqtt::message::Retained;

/// How long after the last retained message more of them may follow.
///
/// MQTT has no sign for "that was all": brokers send them before, after or long after they confirm the subscription.
const MORE_WITHIN: Duration = Duration::from_secs(10);

/// How many topics are remembered in that time.
const MAX_TOPICS: usize = 100_000;

/// How far a subscriber has got with the retained messages of its start.
///
/// A broker sends them for every SUBSCRIBE: at a reconnect and for other subscribers of the same filter, too. In MQTT 3.1.1 nothing
/// tells which SUBSCRIBE one belongs to, so each subscriber takes one per topic, from its own SUBSCRIBE on until no more come.
pub(super) enum First {
    /// The broker has yet to be asked.
    Wanted,
    /// The broker is asked: the topics that have come, and until when more may, once it has answered.
    Open { seen: HashSet<String>, until: Option<Instant> },
    /// Nothing more is wanted.
    Over,
}

impl First {
    pub(super) fn new(retained: Retained) -> Self {
        if retained == Retained::Live { Self::Over } else { Self::Wanted }
    }

    pub(super) fn is_wanted(&self) -> bool {
        matches!(self, Self::Wanted)
    }

    /// Notes that a SUBSCRIBE goes out.
    pub(super) fn asked(&mut self) {
        if self.is_wanted() {
            *self = Self::Open { seen: HashSet::new(), until: None };
        }
    }

    /// Notes that the broker has answered a SUBSCRIBE, and returns whether it had gone out for this subscriber too.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        if let Self::Open { until: until @ None, .. } = self {
            *until = Some(now + MORE_WITHIN);
        }
        !self.is_wanted()
    }

    /// Returns whether a retained message is meant for this subscriber.
    pub(super) fn takes(&mut self, topic: &str, now: Instant) -> bool {
        self.expire(now);
        let Self::Open { seen, until } = self else { return false };
        if let Some(until) = until {
            *until = now + MORE_WITHIN;
        }
        if seen.len() >= MAX_TOPICS {
            return !seen.contains(topic);
        }
        seen.insert(topic.to_owned())
    }

    /// Returns whether a topic's retained message has come, or a newer one.
    pub(super) fn has_seen(&self, topic: &str) -> bool {
        matches!(self, Self::Open { seen, .. } if seen.contains(topic))
    }

    /// Notes that a newer message of a topic has come: a retained one that follows is older.
    pub(super) fn overtaken(&mut self, topic: &str, now: Instant) {
        self.expire(now);
        if let Self::Open { seen, .. } = self
            && seen.len() < MAX_TOPICS
        {
            seen.insert(topic.to_owned());
        }
    }

    /// Notes that a new connection begins: what follows is repeated, unless the first SUBSCRIBE was never answered.
    pub(super) fn reconnected(&mut self) {
        match self {
            Self::Open { seen, until: None } if seen.is_empty() => *self = Self::Wanted,
            Self::Open { .. } => *self = Self::Over,
            _ => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        if matches!(self, Self::Open { until: Some(until), .. } if now > *until) {
            *self = Self::Over;
        }
    }
}
