//! Which retained messages are meant for a subscriber: those that the broker sends because this subscriber came, and no others.

use std::collections::HashMap;
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
/// If a second one differs from the first, the first was a late answer to another SUBSCRIBE, and out of date: then it is taken too.
/// One that follows a live message of its topic is newer than the start, and has been heard of.
pub(super) enum First {
    /// The broker has yet to be asked.
    SubscribeFilter,
    /// The broker is asked: the topics that have come, and until when more may, once it has answered.
    Open { seen: HashMap<String, Seen>, until: Option<Instant> },
    /// Nothing more is wanted.
    Over,
}

/// What has come of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A retained message, by the hash of its payload.
    Retained(u64),
    /// A live one.
    Live,
}

impl First {
    pub(super) fn new(retained: Retained) -> Self {
        if retained == Retained::Live { Self::Over } else { Self::SubscribeFilter }
    }

    pub(super) fn is_wanted(&self) -> bool {
        matches!(self, Self::SubscribeFilter)
    }

    /// Notes that a SUBSCRIBE goes out.
    pub(super) fn asked(&mut self) {
        if self.is_wanted() {
            *self = Self::Open { seen: HashMap::new(), until: None };
        }
    }

    /// Notes that the broker has answered a SUBSCRIBE, and returns whether it had gone out for this subscriber too.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        if let Self::Open { until: until @ None, .. } = self {
            *until = Some(now + MORE_WITHIN);
        }
        !self.is_wanted()
    }

    /// Returns whether a retained message is meant for this subscriber; `print` is the hash of its payload.
    pub(super) fn takes(&mut self, topic: &str, print: u64, now: Instant) -> bool {
        self.expire(now);
        let Self::Open { seen, until } = self else { return false };
        if let Some(until) = until {
            *until = now + MORE_WITHIN;
        }
        match seen.get(topic) {
            Some(Seen::Live) => return false,
            Some(Seen::Retained(other)) if *other == print => return false,
            Some(Seen::Retained(_)) => {}
            None if seen.len() >= MAX_TOPICS => return true,
            None => {}
        }
        seen.insert(topic.to_owned(), Seen::Retained(print));
        true
    }

    /// Returns whether this retained message of a topic has come, or a newer one.
    pub(super) fn has_seen(&self, topic: &str, print: u64) -> bool {
        let Self::Open { seen, .. } = self else { return false };
        seen.get(topic).is_some_and(|seen| matches!(seen, Seen::Live) || *seen == Seen::Retained(print))
    }

    /// Notes that a newer message of a topic has come: a retained one that follows is older.
    pub(super) fn overtaken(&mut self, topic: &str, now: Instant) {
        self.expire(now);
        if let Self::Open { seen, .. } = self
            && seen.len() < MAX_TOPICS
        {
            seen.insert(topic.to_owned(), Seen::Live);
        }
    }

    /// Notes that a new connection begins: what follows is repeated, unless the first SUBSCRIBE was never answered.
    pub(super) fn reconnected(&mut self) {
        match self {
            Self::Open { seen, until: None } if seen.is_empty() => *self = Self::SubscribeFilter,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was asked for and answered.
    fn open(retained: Retained) -> (First, Instant) {
        let (mut first, now) = (First::new(retained), Instant::now());
        first.asked();
        first.answered(now);
        (first, now)
    }

    #[test]
    fn each_topic_is_taken_once_however_often_it_is_repeated() {
        let (mut first, now) = open(Retained::Only);
        assert!(first.takes("a", 1, now) && first.takes("b", 1, now));
        assert!(!first.takes("a", 1, now) && !first.takes("b", 1, now));
    }

    #[test]
    fn what_was_published_since_the_start_is_not_taken_when_it_is_repeated_for_another() {
        let (mut first, now) = open(Retained::Only);
        assert!(first.takes("a", 1, now));
        first.overtaken("a", now);
        first.overtaken("new", now);
        assert!(!first.takes("a", 2, now) && !first.takes("new", 1, now));
    }

    #[test]
    fn a_late_answer_to_an_earlier_subscribe_does_not_stand_for_our_own() {
        let (mut first, now) = open(Retained::Initial);
        assert!(first.takes("a", 1, now), "it may be ours");
        assert!(first.takes("a", 2, now), "this one is");
        assert!(!first.takes("a", 2, now));
    }

    #[test]
    fn nothing_is_taken_long_after_the_last_one() {
        let (mut first, now) = open(Retained::Initial);
        assert!(first.takes("a", 1, now + MORE_WITHIN));
        assert!(first.takes("b", 1, now + 2 * MORE_WITHIN));
        assert!(!first.takes("c", 1, now + 4 * MORE_WITHIN));
    }
}
