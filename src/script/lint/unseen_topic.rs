//! Subscriptions that match no recorded topic.

use super::context::{Check, Findings, Lint, LintContext};
use crate::config::Need;
use crate::fault::Fault;
use crate::options::nearest;
use crate::topic::Filter;
use crate::value::map_of;

pub(super) const LINT: Lint =
    Lint { code: "unseen-topic", docs: include_str!("docs/unseen-topic.md"), check: Check::Each(check) };

fn check(context: &LintContext<'_>, findings: &mut Findings<'_>) {
    let Some(topics) = context.topics else { return };
    for declared in context.declarations.iter().filter(|declared| declared.kind == "mqtt_subscribe") {
        let wanted = declared.trigger.needs().into_iter().filter_map(|need| match need {
            Need::Subscribe(filter) => Filter::parse(filter).ok(),
            _ => None,
        });
        for filter in wanted.filter(|filter| topics.iter().all(|topic| filter.matches(topic).is_none())) {
            let text = format!("no recorded message matches `{}`", filter.written());
            let hint = match most_similar(&filter, topics.iter().map(String::as_str)) {
                Some(topic) => format!("the most similar recorded topic is `{topic}`: did you mean it?"),
                None => "check the spelling, or record until a message arrives there".to_owned(),
            };
            findings
                .add_fault(context.files.with_source_line(Fault::new(declared.location.clone(), text).with_hint(hint)));
        }
    }
}

/// Returns the most similar topic. Wildcards match any level.
fn most_similar<'t>(filter: &Filter, topics: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let generalised = map_of(topics.map(|topic| (generalise(filter.pattern(), topic), topic)));
    let near = nearest(filter.pattern(), generalised.keys().map(String::as_str))?;
    generalised.get(near).copied()
}

/// Replaces levels of a topic with the wildcards of a pattern.
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
