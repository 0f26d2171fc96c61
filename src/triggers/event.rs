//! `on_event`: when a script emits an event.

use crate::event::{Ack, Event};
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, one_argument, with_data};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `on_event(name, …)`.
pub const KIND: Kind = Kind {
    name: "on_event",
    arguments: &["name"],
    event: "`event`: `name`, `data`, `from`",
    docs: include_str!("on_event.md"),
    read,
    try_option: Some(TryOption {
        name: "event",
        value_name: Some("NAME"),
        help: "A script emits an event",
        read: |value, data| Ok(with_data([("name", value)], data)),
    }),
};

fn read(arguments: Vec<Value>, _: &mut Options, _: &TriggerContext) -> Result<Box<dyn Trigger>, OptionFault> {
    let name = name(arguments, "the event's name")?;
    Ok(Box::new(EventTrigger { name }))
}

/// Value of `event.from` in manual events; no script has this name.
const MANUAL_SENDER: &str = "rhaid fire";

/// Reads a name that is not empty.
pub(super) fn name(arguments: Vec<Value>, what: &str) -> Result<String, OptionFault> {
    match one_argument(arguments, what)? {
        Value::Text(name) if !name.is_empty() => Ok(name),
        Value::Text(_) => Err(OptionFault::new(format!("name: write {what}, not empty text"))),
        other => Err(OptionFault::new(format!("name: write {what} as text, not {}", other.type_name()))),
    }
}

struct EventTrigger {
    name: String,
}

impl Trigger for EventTrigger {
    fn summary(&self) -> String {
        format!("on_event {}", self.name)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let mut deliveries = services.bus.listen(sender.owner(), &self.name);
        let (clock, summary) = (services.clock.clone(), self.summary());
        Watch::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                let payload = payload(&delivery.name, delivery.data, &delivery.from);
                let ack = (delivery.number > 0).then_some(Ack::Emitted(delivery.number));
                let mut event = Event::new(clock.now(), summary.clone(), payload).with_ack(ack);
                event.delivery.hops = delivery.hops;
                sender.tell(event);
            }
        })
    }

    fn receives_emitted_events(&self) -> bool {
        true
    }

    fn matches(&self, given: &Map) -> bool {
        given.get("name").and_then(Value::as_text).is_none_or(|name| name == self.name)
    }

    fn example(&self, _: &Map, _: &Services) -> Map {
        payload(&self.name, Value::Null, MANUAL_SENDER)
    }
}

fn payload(name: &str, data: Value, from: &str) -> Map {
    map_of([("name".into(), name.into()), ("data".into(), data), ("from".into(), from.into())])
}
