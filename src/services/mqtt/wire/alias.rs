//! Topic aliases: numbers that replace topics for the duration of a connection.
//!
//! Source: MQTT 5.0, section 3.3.2.3.4.

use std::collections::HashMap;

use crate::services::mqtt::wire::error::ConnectionError;
use crate::services::mqtt::wire::packet::IncomingPublish;

/// Topic alias maximum in each direction.
pub(super) const MAX: u16 = 256;

/// Topic aliases of published messages: the first topics that are published to get one.
#[derive(Default)]
pub(in crate::services::mqtt) struct OutgoingAliases {
    limit: u16,
    aliases: HashMap<String, u16>,
}

impl OutgoingAliases {
    /// Starts a connection to a broker with this topic alias maximum.
    pub(in crate::services::mqtt) fn new(limit: u16) -> Self {
        Self { limit: limit.min(MAX), aliases: HashMap::new() }
    }

    /// Returns the topic to write, which is empty if its alias is known to the broker, and the alias.
    pub(super) fn shorten(&mut self, topic: String) -> (String, Option<u16>) {
        if let Some(alias) = self.aliases.get(&topic) {
            return (String::new(), Some(*alias));
        }
        let next = self.aliases.len() as u16 + 1;
        if next > self.limit {
            return (topic, None);
        }
        self.aliases.insert(topic.clone(), next);
        (topic, Some(next))
    }
}

/// Topic aliases of received messages.
#[derive(Default)]
pub(super) struct IncomingAliases(HashMap<u16, String>);

impl IncomingAliases {
    /// Fills in the topic of a message that has only an alias.
    pub(super) fn resolve(&mut self, publish: &mut IncomingPublish) -> Result<(), ConnectionError> {
        match publish.alias {
            None if publish.topic.is_empty() => Err(ConnectionError::Malformed("a message without a topic".into())),
            None => Ok(()),
            Some(alias) if publish.topic.is_empty() => {
                let topic = self.0.get(&alias).cloned();
                publish.topic = topic.ok_or_else(|| ConnectionError::Malformed("an unknown topic alias".into()))?;
                Ok(())
            }
            Some(alias) if (1..=MAX).contains(&alias) => {
                self.0.insert(alias, publish.topic.clone());
                Ok(())
            }
            Some(_) => Err(ConnectionError::Malformed("a topic alias above the topic alias maximum".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_written_once_and_aliases_stay_within_the_maximum() {
        let mut aliases = OutgoingAliases::new(2);
        let mut shorten = |topic: &str| aliases.shorten(topic.to_owned());
        assert_eq!(shorten("温度/1"), ("温度/1".into(), Some(1)));
        assert_eq!(shorten("温度/1"), (String::new(), Some(1)));
        assert_eq!(shorten("b"), ("b".into(), Some(2)));
        assert_eq!(shorten("c"), ("c".into(), None));
        assert_eq!(shorten("b"), (String::new(), Some(2)));
        let unsupported = OutgoingAliases::default().shorten("a".into());
        assert_eq!(unsupported, ("a".into(), None), "a broker without topic aliases");
    }

    #[test]
    fn an_alias_resolves_to_the_topic_it_was_last_sent_with() {
        let mut aliases = IncomingAliases::default();
        let mut resolve = |topic: &str, alias| {
            let mut publish = IncomingPublish { topic: topic.into(), alias, ..IncomingPublish::default() };
            aliases.resolve(&mut publish).map(|()| publish.topic).ok()
        };
        assert_eq!(resolve("", Some(1)), None);
        assert_eq!(resolve("a", Some(1)), Some("a".into()));
        assert_eq!(resolve("", Some(1)), Some("a".into()));
        assert_eq!(resolve("b", Some(1)), Some("b".into()));
        assert_eq!(resolve("", Some(1)), Some("b".into()));
        assert_eq!((resolve("", None), resolve("c", Some(0)), resolve("c", Some(MAX + 1))), (None, None, None));
    }
}
