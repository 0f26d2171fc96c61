//! Topic aliases: numbers that stand for topics while a connection lasts.
//!
//! Source: MQTT 5.0, section 3.3.2.3.4.

use std::collections::HashMap;

use crate::services::mqtt::wire::{ConnectionError, IncomingPublish};

/// How many aliases there are in each direction, at most.
pub(super) const MAX: u16 = 256;

/// The topics for which the broker takes a number: the first ones that are published to.
#[derive(Default)]
pub(in crate::services::mqtt) struct Aliases {
    limit: u16,
    known: HashMap<String, u16>,
}

impl Aliases {
    /// Starts a connection to a broker that takes so many.
    pub(in crate::services::mqtt) fn new(limit: u16) -> Self {
        Self { limit: limit.min(MAX), known: HashMap::new() }
    }

    /// Returns what to write as the topic, and the number that stands for it from now on.
    pub(super) fn shorten(&mut self, topic: String) -> (String, Option<u16>) {
        if let Some(alias) = self.known.get(&topic) {
            return (String::new(), Some(*alias));
        }
        let next = self.known.len() as u16 + 1;
        if next > self.limit {
            return (topic, None);
        }
        self.known.insert(topic.clone(), next);
        (topic, Some(next))
    }
}

/// The topics for which the broker uses numbers.
#[derive(Default)]
pub(super) struct Known(HashMap<u16, String>);

impl Known {
    /// Gives a message its topic.
    pub(super) fn resolve(&mut self, arrived: &mut IncomingPublish) -> Result<(), ConnectionError> {
        match arrived.alias {
            None if arrived.topic.is_empty() => Err(ConnectionError::Malformed("a message without a topic".into())),
            None => Ok(()),
            Some(alias) if arrived.topic.is_empty() => {
                let topic = self.0.get(&alias).cloned();
                arrived.topic =
                    topic.ok_or_else(|| ConnectionError::Malformed("a number that stands for no topic".into()))?;
                Ok(())
            }
            Some(alias) if (1..=MAX).contains(&alias) => {
                self.0.insert(alias, arrived.topic.clone());
                Ok(())
            }
            Some(_) => Err(ConnectionError::Malformed("a topic alias beyond what we take".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_written_once_and_numbers_are_not_used_up() {
        let mut aliases = Aliases::new(2);
        let mut shorten = |topic: &str| aliases.shorten(topic.to_owned());
        assert_eq!(shorten("温度/1"), ("温度/1".into(), Some(1)));
        assert_eq!(shorten("温度/1"), (String::new(), Some(1)));
        assert_eq!(shorten("b"), ("b".into(), Some(2)));
        assert_eq!(shorten("c"), ("c".into(), None));
        assert_eq!(shorten("b"), (String::new(), Some(2)));
        assert_eq!(Aliases::default().shorten("a".into()), ("a".into(), None), "a broker that takes none");
    }

    #[test]
    fn a_number_stands_for_the_topic_it_came_with_last() {
        let mut known = Known::default();
        let mut resolve = |topic: &str, alias| {
            let mut arrived = IncomingPublish { topic: topic.into(), alias, ..IncomingPublish::default() };
            known.resolve(&mut arrived).map(|()| arrived.topic).ok()
        };
        assert_eq!(resolve("", Some(1)), None);
        assert_eq!(resolve("a", Some(1)), Some("a".into()));
        assert_eq!(resolve("", Some(1)), Some("a".into()));
        assert_eq!(resolve("b", Some(1)), Some("b".into()));
        assert_eq!(resolve("", Some(1)), Some("b".into()));
        assert_eq!((resolve("", None), resolve("c", Some(0)), resolve("c", Some(MAX + 1))), (None, None, None));
    }
}
