//! `mqtt_subscribe`: on each message of a topic.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use futures_util::future::join_all;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::config::Need;
use crate::event::{Ack, Event};
use crate::options::{self, OptionFault, Options};
use crate::run::{Outcome, Skip};
use crate::services::Services;
use crate::services::mqtt::{Message, Retained, SubscribeOptions, Subscription};
use crate::topic::Filter;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, with_data};
use crate::triggers::manual;
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `mqtt_subscribe(topic or [topics], …)`.
pub const KIND: Kind = Kind {
    name: "mqtt_subscribe",
    arguments: &["topic"],
    event: "`msg`: `topic`, `payload`, `bytes`, `json()`, `qos`, `retain`, `dup`, `params`, `broker`, `time`, `properties`",
    docs: include_str!("mqtt.md"),
    read,
    try_option: Some(TryOption {
        name: "mqtt",
        value_name: Some("TOPIC=PAYLOAD"),
        help: "A message comes",
        read: read_try,
    }),
};

/// Minimum number of topics that `changed` tracks.
const MIN_TRACKED: usize = 10_000;

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let filters = read_filters(arguments).map_err(OptionFault::new)?;
    let retained = options
        .word("retained", &[("live", Retained::Live), ("initial", Retained::Initial), ("only", Retained::Only)])?;
    if retained.is_some_and(|retained| retained != Retained::Live) && filters.iter().any(Filter::is_shared) {
        return Err(OptionFault {
            option: Some("retained".into()),
            message: "retained: brokers send no retained messages for \"$share/…\": leave it out".into(),
        });
    }
    let no_local = options.bool("no_local")?.unwrap_or(false);
    if no_local && filters.iter().any(Filter::is_shared) {
        return Err(OptionFault {
            option: Some("no_local".into()),
            message: "no_local: MQTT has no such thing for \"$share/…\": leave it out".into(),
        });
    }
    let qos = options.int("qos", 0..=2)?.unwrap_or(0) as u8;
    Ok(Box::new(SubscribeTrigger {
        filters,
        subscribe_options: SubscribeOptions {
            qos,
            retained: retained.unwrap_or_default(),
            no_local,
            all_retained: true,
        },
        changed: options.bool("changed")?.unwrap_or(false),
        brokers: options.read("broker", |names| some_brokers(names, trigger_context))?.unwrap_or_default(),
    }))
}

/// Reads `TOPIC=PAYLOAD` of `rhaid try`.
fn read_try(message: &str, data: Map) -> Result<Map, String> {
    let (topic, payload) = message
        .split_once('=')
        .ok_or_else(|| format!("--mqtt: write the topic and the payload, such as {message}=on"))?;
    Ok(with_data([("topic", topic), ("payload", payload)], data))
}

/// Reads the name of one broker or a list of names.
fn some_brokers(written: Value, trigger_context: &TriggerContext) -> Result<Vec<String>, String> {
    let Value::List(several) = written else { return one_broker(written, trigger_context).map(|name| vec![name]) };
    let mut names: Vec<_> =
        several.into_iter().map(|name| one_broker(name, trigger_context)).collect::<Result<_, _>>()?;
    names.sort();
    names.dedup();
    if names.is_empty() { Err("write the name of a broker, or several".to_owned()) } else { Ok(names) }
}

/// Reads the name of a broker.
pub(super) fn one_broker(written: Value, trigger_context: &TriggerContext) -> Result<String, String> {
    let name = options::text(written)?;
    let known = &trigger_context.brokers;
    if known.is_empty() || known.contains(&name) {
        return Ok(name);
    }
    Err(format!("there is no broker \"{name}\" in rhaid.yaml: write one of {}", known.join(", ")))
}

fn read_filters(arguments: Vec<Value>) -> Result<Vec<Filter>, String> {
    let wrong = || "write a topic such as \"door/front\", or several as [\"door/front\", \"door/back\"]".to_owned();
    let written = match <[Value; 1]>::try_from(arguments).map_err(|_| wrong())? {
        [Value::Text(one)] => vec![one],
        [Value::List(several)] if !several.is_empty() => {
            let texts = several.iter().map(|topic| topic.as_text().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    let filters = written.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for (index, filter) in filters.iter().enumerate() {
        let mut others = filters.iter().enumerate().filter(|(other, _)| *other != index);
        if let Some((_, wider)) = others.find(|(_, other)| other.covers(filter)) {
            let (wider, narrow) = (wider.written(), filter.written());
            return Err(format!("\"{wider}\" covers all of \"{narrow}\", which would come twice: leave one out"));
        }
    }
    Ok(filters)
}

struct SubscribeTrigger {
    filters: Vec<Filter>,
    subscribe_options: SubscribeOptions,
    changed: bool,
    // Empty: the default broker.
    brokers: Vec<String>,
}

impl SubscribeTrigger {
    /// Subscribes at one broker.
    fn listen(
        &self,
        broker: Option<&str>,
        sender: &EventSender,
        services: &Services,
        stopped: CancellationToken,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let subscription = match services.mqtt.subscribe_all(&self.filters, self.subscribe_options, broker) {
            Ok(subscription) => subscription,
            Err(error) => {
                error!(script = sender.owner(), "{}: {error}", self.summary());
                return None;
            }
        };
        let listener = MessageListener {
            filters: self.filters.clone(),
            changed: self.changed.then(LastPayloads::default),
            skips_retained: self.subscribe_options.retained == Retained::Live,
            zone: services.clock.zone(),
            sender: sender.clone(),
        };
        Some(listener.listen(subscription, stopped))
    }
}

impl Trigger for SubscribeTrigger {
    fn summary(&self) -> String {
        let filters: Vec<_> = self.filters.iter().map(Filter::written).collect();
        format!("mqtt_subscribe {}", filters.join(", "))
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        if let [_, _, ..] = self.brokers.as_slice() {
            return Watch::spawn_with_token(|stopped| {
                let listen = |broker: &String| self.listen(Some(broker), &sender, services, stopped.clone());
                let all: Vec<_> = self.brokers.iter().filter_map(listen).collect();
                async move {
                    join_all(all).await;
                }
            });
        }
        Watch::spawn_with_token(|stopped| {
            let one = self.listen(self.brokers.first().map(String::as_str), &sender, services, stopped);
            async move {
                if let Some(one) = one {
                    one.await;
                }
            }
        })
    }

    fn take_over(&self, event: &Event) -> Option<Event> {
        let is_retained = event.payload.get("retain") == Some(&Value::Bool(true));
        let broker = event.payload.get("broker")?.as_text()?;
        let is_other = !self.brokers.is_empty() && self.brokers.iter().all(|name| name != broker);
        if is_other || is_retained != (self.subscribe_options.retained == Retained::Only) {
            return None;
        }
        let topic = event.payload.get("topic")?.as_text()?;
        self.filters.iter().find_map(|filter| filter.matches(topic))?;
        let mut event = event.clone();
        event.payload.insert("params".into(), params(&self.filters, topic).into());
        Some(event)
    }

    fn example(&self, given: &Map, services: &Services) -> Map {
        let topic = example_topic(&self.filters[0], given);
        let default = || services.mqtt.states().into_iter().next().map(|(name, ..)| name).unwrap_or_default();
        let broker = self.brokers.first().cloned().unwrap_or_else(default);
        let mut payload = map_of([
            ("qos".into(), i64::from(self.subscribe_options.qos).into()),
            ("retain".into(), false.into()),
            ("dup".into(), false.into()),
            ("params".into(), params(&self.filters, &topic).into()),
            ("broker".into(), broker.into()),
            ("properties".into(), Map::new().into()),
            ("time".into(), services.clock.now_zoned().into()),
            ("topic".into(), topic.into()),
        ]);
        payload.extend(manual::text_and_bytes("payload", given));
        payload
    }

    fn matches(&self, given: &Map) -> bool {
        let topic = given.get("topic").and_then(Value::as_text);
        topic.is_none_or(|topic| self.filters.iter().any(|filter| filter.matches(topic).is_some()))
    }

    fn needs(&self) -> Vec<Need<'_>> {
        self.filters.iter().map(|filter| Need::Subscribe(filter.written())).collect()
    }
}

/// Returns the values of the named levels of a topic, from the first filter that matches it.
pub(super) fn params(filters: &[Filter], topic: &str) -> Map {
    let params = filters.iter().find_map(|filter| filter.matches(topic)).unwrap_or_default();
    map_of(params.into_iter().map(|(name, level)| (name, level.into())))
}

/// Returns the given topic, or one that the filter matches.
pub(super) fn example_topic(filter: &Filter, given: &Map) -> String {
    match given.get("topic") {
        Some(Value::Text(topic)) => topic.clone(),
        _ => {
            let without_group = filter.written().splitn(3, '/').nth(2).filter(|_| filter.is_shared());
            manual::example_for(without_group.unwrap_or(filter.written()), given)
        }
    }
}

struct MessageListener {
    filters: Vec<Filter>,
    changed: Option<LastPayloads>,
    skips_retained: bool,
    zone: TimeZone,
    sender: EventSender,
}

impl MessageListener {
    /// Sends an event per message, including the messages received before the stop.
    async fn listen(mut self, mut subscription: Subscription, stopped: CancellationToken) {
        // A rejected subscription is an error of the script or of the broker's permissions.
        let refused = stopped.run_until_cancelled(Box::pin(subscription.ready())).await;
        if let Some(Err(error)) = refused {
            let topics: Vec<_> = self.filters.iter().map(Filter::written).collect();
            error!(script = self.sender.owner(), "mqtt_subscribe {}: {error}", topics.join(", "));
        }
        while let Some(message) = next(&mut subscription, &stopped).await {
            if message.retain && self.skips_retained {
                self.sender.skip(self.event(&message), Skip::Retained);
                continue;
            }
            let is_changed = self.changed.as_mut().is_none_or(|changed| changed.is_changed(&message));
            if is_changed {
                self.pass(message);
            } else {
                self.sender.skip(self.event(&message), Skip::Unchanged);
            }
        }
    }

    fn pass(&self, message: Message) {
        let event = self.event(&message);
        if message.qos == 0 {
            return self.sender.tell(event);
        }
        let pending = self.sender.ask(event);
        // The task outlives the watch and ends with the run. The broker's receive maximum limits the number of these tasks.
        tokio::spawn(async move {
            match pending.outcome().await {
                Outcome::Skipped(Skip::Stopping) => message.ack.nack(),
                // The token is dropped: if rhaid stops, the broker sends the message again; if a newer message replaced it, it does not.
                Outcome::Cancelled => {}
                _ => message.ack.ack(),
            }
        });
    }

    fn event(&self, message: &Message) -> Event {
        let at = message.received.to_zoned(self.zone.clone());
        let payload = map_of([
            ("topic".into(), message.topic.as_str().into()),
            ("payload".into(), String::from_utf8_lossy(&message.payload).into_owned().into()),
            ("bytes".into(), message.payload.to_vec().into()),
            ("qos".into(), i64::from(message.qos).into()),
            ("retain".into(), message.retain.into()),
            ("dup".into(), message.dup.into()),
            ("params".into(), params(&self.filters, &message.topic).into()),
            ("broker".into(), message.broker.as_str().into()),
            ("properties".into(), message.properties.clone().into()),
            ("time".into(), at.clone().into()),
        ]);
        Event::new(at, format!("mqtt_subscribe {}", message.topic), payload)
            .with_ack((message.qos > 0).then_some(Ack::Sender))
    }
}

/// Returns the next message; after the stop only messages that were received before it.
async fn next(subscription: &mut Subscription, stopped: &CancellationToken) -> Option<Message> {
    match stopped.run_until_cancelled(subscription.messages.recv()).await {
        Some(message) => message,
        None => {
            subscription.end();
            subscription.messages.recv().await
        }
    }
}

/// Hashes of the last payloads by topic, in two generations: when the young one is full, it replaces the old one.
#[derive(Default)]
struct LastPayloads {
    hasher: RandomState,
    young: HashMap<String, u64>,
    old: HashMap<String, u64>,
}

impl LastPayloads {
    /// Returns whether the payload differs from the last one of the topic, and stores it.
    fn is_changed(&mut self, message: &Message) -> bool {
        let hash = self.hasher.hash_one(&message.payload);
        if let Some(last) = self.young.get_mut(&message.topic) {
            return std::mem::replace(last, hash) != hash;
        }
        let last = self.old.remove(&message.topic);
        if self.young.len() >= MIN_TRACKED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(message.topic.clone(), hash);
        last != Some(hash)
    }
}

#[cfg(test)]
mod tests;
