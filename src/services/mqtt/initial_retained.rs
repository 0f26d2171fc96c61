//! Selection of the retained messages that the broker sends because of one subscriber's SUBSCRIBE.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::services::mqtt::message::Retained;

/// How long after the last retained message more of them may follow.
///
/// MQTT does not mark the last one: brokers send retained messages before, after or long after SUBACK.
const MORE_WITHIN: Duration = Duration::from_secs(10);

/// Limit of the topics remembered in that time.
const MAX_TOPICS: usize = 100_000;

/// Progress of a subscriber with the retained messages of its start.
///
/// A broker sends retained messages for every SUBSCRIBE, also at a reconnect and for other subscribers of the same filter. In MQTT 3.1.1
/// they do not show to which SUBSCRIBE they belong, so each subscriber accepts one per topic, from its own SUBSCRIBE until no more come. If
/// a second one differs from the first, the first was a late answer to another SUBSCRIBE, and out of date: the second is accepted too. A
/// retained message that follows a live message of its topic is one that was delivered as a live message before.
pub(super) enum InitialRetained {
    /// SUBSCRIBE has not been sent.
    Unrequested,
    /// SUBSCRIBE has been sent: the topics received, and the end of the time for more, once SUBACK has been received.
    Open { seen: HashMap<String, Seen>, until: Option<Instant> },
    /// No more retained messages are accepted.
    Closed,
}

/// The last message of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A retained message, by the hash of its payload.
    Retained(u64),
    /// A live message.
    Live,
}

impl InitialRetained {
    pub(super) fn new(retained: Retained) -> Self {
        if retained == Retained::Live { Self::Closed } else { Self::Unrequested }
    }

    pub(super) fn is_unrequested(&self) -> bool {
        matches!(self, Self::Unrequested)
    }

    /// Records that a SUBSCRIBE is sent.
    pub(super) fn subscribe_sent(&mut self) {
        if self.is_unrequested() {
            *self = Self::Open { seen: HashMap::new(), until: None };
        }
    }

    /// Records a SUBACK; returns whether its SUBSCRIBE was sent for this subscriber too.
    pub(super) fn suback_received(&mut self, now: Instant) -> bool {
        if let Self::Open { until: until @ None, .. } = self {
            *until = Some(now + MORE_WITHIN);
        }
        !self.is_unrequested()
    }

    /// Returns whether to deliver a retained message; `fingerprint` is the hash of its payload.
    pub(super) fn accepts(&mut self, topic: &str, fingerprint: u64, now: Instant) -> bool {
        self.expire(now);
        let Self::Open { seen, until } = self else { return false };
        if let Some(until) = until {
            *until = now + MORE_WITHIN;
        }
        match seen.get(topic) {
            Some(Seen::Live) => return false,
            Some(Seen::Retained(other)) if *other == fingerprint => return false,
            Some(Seen::Retained(_)) => {}
            None if seen.len() >= MAX_TOPICS => return true,
            None => {}
        }
        seen.insert(topic.to_owned(), Seen::Retained(fingerprint));
        true
    }

    /// Returns whether this retained message of a topic, or a newer message, has been received.
    pub(super) fn has_seen(&self, topic: &str, fingerprint: u64) -> bool {
        let Self::Open { seen, .. } = self else { return false };
        seen.get(topic).is_some_and(|seen| matches!(seen, Seen::Live) || *seen == Seen::Retained(fingerprint))
    }

    /// Records a live message of a topic: a retained one that follows is older.
    pub(super) fn live_received(&mut self, topic: &str, now: Instant) {
        self.expire(now);
        if let Self::Open { seen, .. } = self
            && seen.len() < MAX_TOPICS
        {
            seen.insert(topic.to_owned(), Seen::Live);
        }
    }

    /// Starts a connection, which repeats retained messages: no more are accepted, unless the first SUBSCRIBE was never answered.
    pub(super) fn reconnected(&mut self) {
        match self {
            Self::Open { seen, until: None } if seen.is_empty() => *self = Self::Unrequested,
            Self::Open { .. } => *self = Self::Closed,
            _ => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        if matches!(self, Self::Open { until: Some(until), .. } if now > *until) {
            *self = Self::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one whose SUBSCRIBE has been sent and answered.
    fn open(retained: Retained) -> (InitialRetained, Instant) {
        let (mut initial, now) = (InitialRetained::new(retained), Instant::now());
        initial.subscribe_sent();
        initial.suback_received(now);
        (initial, now)
    }

    #[test]
    fn each_topic_is_accepted_once_however_often_it_is_repeated() {
        let (mut initial, now) = open(Retained::Only);
        assert!(initial.accepts("a", 1, now) && initial.accepts("b", 1, now));
        assert!(!initial.accepts("a", 1, now) && !initial.accepts("b", 1, now));
    }

    #[test]
    fn a_message_published_since_the_start_is_not_accepted_when_it_is_repeated_as_retained() {
        let (mut initial, now) = open(Retained::Only);
        assert!(initial.accepts("a", 1, now));
        initial.live_received("a", now);
        initial.live_received("new", now);
        assert!(!initial.accepts("a", 2, now) && !initial.accepts("new", 1, now));
    }

    #[test]
    fn a_late_answer_to_an_earlier_subscribe_does_not_replace_the_current_one() {
        let (mut initial, now) = open(Retained::Initial);
        assert!(initial.accepts("a", 1, now), "it may belong to this SUBSCRIBE");
        assert!(initial.accepts("a", 2, now), "this one does");
        assert!(!initial.accepts("a", 2, now));
    }

    #[test]
    fn nothing_is_accepted_long_after_the_last_one() {
        let (mut initial, now) = open(Retained::Initial);
        assert!(initial.accepts("a", 1, now + MORE_WITHIN));
        assert!(initial.accepts("b", 1, now + 2 * MORE_WITHIN));
        assert!(!initial.accepts("c", 1, now + 4 * MORE_WITHIN));
    }
}
