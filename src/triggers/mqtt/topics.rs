//! Topics of MQTT events.

use crate::topic::Filter;
use crate::triggers::manual;
use crate::value::{Map, Value, map_of};

/// Returns the values of the named levels of a topic, from the first filter that matches it.
pub(in crate::triggers) fn params(filters: &[Filter], topic: &str) -> Map {
    let params = filters.iter().find_map(|filter| filter.matches(topic)).unwrap_or_default();
    map_of(params.into_iter().map(|(name, level)| (name, level.into())))
}

/// Returns the given topic, or one that the filter matches.
pub(in crate::triggers) fn example_topic(filter: &Filter, given: &Map) -> String {
    match given.get("topic") {
        Some(Value::Text(topic)) => topic.clone(),
        _ => {
            let without_group = filter.written().splitn(3, '/').nth(2).filter(|_| filter.is_shared());
            manual::example_for(without_group.unwrap_or(filter.written()), given)
        }
    }
}
