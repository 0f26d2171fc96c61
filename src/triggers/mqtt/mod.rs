//! `mqtt_subscribe`: on each message of a topic.

mod listener;
mod options;
mod topics;

use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::listener::{LastPayloads, MessageListener};
pub(super) use self::options::one_broker;
use self::options::{read_filters, read_try, some_brokers};
pub(super) use self::topics::{example_topic, params};
use crate::config::Need;
use crate::event::Event;
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::services::mqtt::{Retained, SubscribeOptions};
use crate::topic::Filter;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption};
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
        help: "A message arrives",
        read: read_try,
    }),
};

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
            message: "retained: brokers send no retained messages for \"$share/…\": remove it".into(),
        });
    }
    let no_local = options.bool("no_local")?.unwrap_or(false);
    if no_local && filters.iter().any(Filter::is_shared) {
        return Err(OptionFault {
            option: Some("no_local".into()),
            message: "no_local: MQTT does not allow it for \"$share/…\": remove it".into(),
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

struct SubscribeTrigger {
    filters: Vec<Filter>,
    subscribe_options: SubscribeOptions,
    changed: bool,
    // Empty: the default broker.
    brokers: Vec<String>,
}

impl SubscribeTrigger {
    /// Subscribes at one broker; returns a future that ends the subscription after the stop.
    fn listen(
        &self,
        broker: Option<&str>,
        sender: &EventSender,
        services: &Services,
        stopped: CancellationToken,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let listener = Arc::new(MessageListener {
            filters: self.filters.as_slice().into(),
            changed: self.changed.then(Mutex::<LastPayloads>::default),
            skips_retained: self.subscribe_options.retained == Retained::Live,
            zone: services.clock.zone(),
            sender: sender.clone(),
        });
        let (owner, summary) = (sender.clone(), self.summary());
        let subscribed = services.mqtt.subscribe_sink(&self.filters, self.subscribe_options, broker, listener);
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(error) => {
                error!(script = sender.owner(), "{summary}: {error}");
                return None;
            }
        };
        Some(async move {
            // A rejected subscription is an error of the script or of the broker's permissions.
            if let Some(Err(error)) = stopped.run_until_cancelled(Box::pin(subscription.ready())).await {
                error!(script = owner.owner(), "{summary}: {error}");
            }
            stopped.cancelled().await;
        })
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
        self.filters.iter().find(|filter| filter.is_match(topic))?;
        let mut event = event.clone();
        event.payload.insert("params", params(&self.filters, topic).into());
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
        topic.is_none_or(|topic| self.filters.iter().any(|filter| filter.is_match(topic)))
    }

    fn needs(&self) -> Vec<Need<'_>> {
        self.filters.iter().map(|filter| Need::Subscribe(filter.written())).collect()
    }
}

#[cfg(test)]
mod tests;
