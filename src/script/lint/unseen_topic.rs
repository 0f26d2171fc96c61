//! Handlers of messages on topics that nothing seen matches.

use super::{Find, Found, Lint, Look};
use crate::config::Need;
use crate::fault::Fault;
use crate::options::nearest;
use crate::topic::Filter;
use crate::value::map_of;

pub(super) const LINT: Lint =
    Lint { code: "unseen-topic", docs: include_str!("docs/unseen-topic.md"), find: Find::Each(find) };

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    let Some(topics) = look.topics else { return };
    for declared in look.declared.iter().filter(|declared| declared.kind == "mqtt_subscribe") {
        let wanted = declared.trigger.needs().into_iter().filter_map(|need| match need {
            Need::Subscribe(filter) => Filter::parse(filter).ok(),
            _ => None,
        });
        for filter in wanted.filter(|filter| topics.iter().all(|topic| filter.matches(topic).is_none())) {
            let text = format!("nothing that was seen is on `{}`", filter.written());
            let hint = match likely(&filter, topics.iter().map(String::as_str)) {
                Some(topic) => format!("the most similar topic seen is `{topic}`: is that one meant?"),
                None => "is it written as it is published? else record until something comes there".to_owned(),
            };
            found.put_fault(look.files.shown(Fault::new(declared.location.clone(), text).with_hint(hint)));
        }
    }
}

/// Returns the topic that a filter most likely meant; what a wildcard stands for may be anything.
fn likely<'t>(filter: &Filter, topics: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let generalised = map_of(topics.map(|topic| (generalise(filter.pattern(), topic), topic)));
    let near = nearest(filter.pattern(), generalised.keys().map(String::as_str))?;
    generalised.get(near).copied()
}

/// Returns a topic with the wildcards of a pattern in place of its levels.
fn generalise(pattern: &str, topic: &str) -> String {
    let mut levels = Vec::new();
    let mut wanted = pattern.split('/');
    for level in topic.split('/') {
        match wanted.next() {
            Some("#") => {
                levels.push("#");
                break;
            }
            Some("+") => levels.push("+"),
            _ => levels.push(level),
        }
    }
    levels.join("/")
}
