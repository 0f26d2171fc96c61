//! `mqtt_silence`: when a topic has received no message for a while.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned};
use tracing::error;

use crate::config::Need;
use crate::event::Event;
use crate::options::{self, OptionFault, Options};
use crate::services::Services;
use crate::services::clock::ActivityGuard;
use crate::services::mqtt::{SubscribeOptions, Subscription};
use crate::topic::Filter;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::Kind;
use crate::triggers::mqtt::one_broker;
use crate::triggers::mqtt::{example_topic, params};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::units::show_duration;
use crate::value::{Map, Value, map_of};

/// `mqtt_silence(topic, duration, …)`.
pub const KIND: Kind = Kind {
    name: "mqtt_silence",
    arguments: &["topic", "duration"],
    event: "`silence`: `topic`, `last`, `since`, `params`, `connected`",
    docs: include_str!("silence.md"),
    read,
    try_option: None,
};

/// Maximum number of topics per filter; others are ignored.
const MAX_TOPICS: usize = 10_000;

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let wrong = || OptionFault::new("write a topic and a duration, such as \"attic/celsius\", \"1h\"");
    let [topic, quiet] = <[Value; 2]>::try_from(arguments).map_err(|_| wrong())?;
    let filter = Filter::parse(topic.as_text().ok_or_else(wrong)?).map_err(OptionFault::new)?;
    let quiet = options::duration(&quiet).map_err(|why| OptionFault::new(format!("duration: {why}")))?;
    if quiet < Duration::from_millis(10) {
        return Err(OptionFault::new("duration: write \"10ms\" or more"));
    }
    Ok(Box::new(SilenceTrigger {
        filter,
        quiet,
        broker: options.read("broker", |name| one_broker(name, trigger_context))?,
    }))
}

struct SilenceTrigger {
    filter: Filter,
    quiet: Duration,
    broker: Option<String>,
}

impl Trigger for SilenceTrigger {
    fn summary(&self) -> String {
        format!("mqtt_silence {} {}", self.filter.written(), show_duration(self.quiet))
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let filters = std::slice::from_ref(&self.filter);
        let subscription =
            match services.mqtt.subscribe_all(filters, SubscribeOptions::default(), self.broker.as_deref()) {
                Ok(subscription) => subscription,
                Err(error) => {
                    error!(script = sender.owner(), "{}: {error}", self.summary());
                    return Watch::idle();
                }
            };
        let quiet = SignedDuration::try_from(self.quiet).expect("durations are at most 100 years");
        let listener = SilenceWatcher {
            filter: self.filter.clone(),
            broker: self.broker.clone(),
            quiet,
            began: services.clock.now(),
            topics: Topics::default(),
            services: services.clone(),
            sender,
        };
        Watch::spawn(listener.listen(subscription, services.clock.activity()))
    }

    fn example(&self, given: &Map, services: &Services) -> Map {
        let topic = example_topic(&self.filter, given);
        let now = services.clock.now_zoned();
        let last = now.checked_sub(self.quiet).unwrap_or_else(|_| now.clone());
        let is_connected = services.mqtt.is_connected(self.broker.as_deref());
        payload(&self.filter, &topic, Some(last), self.quiet.as_secs() as i64, is_connected)
    }

    fn matches(&self, given: &Map) -> bool {
        let topic = given.get("topic").and_then(Value::as_text);
        topic.is_none_or(|topic| self.filter.is_match(topic))
    }

    fn needs(&self) -> Vec<Need<'_>> {
        vec![Need::Subscribe(self.filter.written())]
    }
}

struct SilenceWatcher {
    filter: Filter,
    broker: Option<String>,
    quiet: SignedDuration,
    began: Timestamp,
    topics: Topics,
    services: Services,
    sender: EventSender,
}

impl SilenceWatcher {
    async fn listen(mut self, mut subscription: Subscription, mut activity: ActivityGuard) {
        let whole = self.filter.written().to_owned();
        self.topics.expect(&whole, None, self.began + self.quiet);
        loop {
            let message = match self.topics.next() {
                None => activity.idle(subscription.messages.recv()).await,
                Some(due) => tokio::select! {
                    message = subscription.messages.recv() => message,
                    () = activity.sleep_until(&self.services.clock, due) => {
                        self.send_due().await;
                        continue;
                    }
                },
            };
            let Some(message) = message else { return };
            self.topics.forget(&whole);
            self.topics.expect(&message.topic, Some(message.received), message.received + self.quiet);
        }
    }

    async fn send_due(&mut self) {
        let now = self.services.clock.now();
        while let Some((topic, last)) = self.topics.take_due(now) {
            let event = self.event(&topic, last, now);
            self.sender.tell(event);
        }
    }

    fn event(&self, topic: &str, last: Option<Timestamp>, now: Timestamp) -> Event {
        let zone = self.services.clock.zone();
        let since = now.duration_since(last.unwrap_or(self.began)).as_secs();
        let last = last.map(|last| last.to_zoned(zone.clone()));
        let is_connected = self.services.mqtt.is_connected(self.broker.as_deref());
        let payload = payload(&self.filter, topic, last, since, is_connected);
        Event::new(now, format!("mqtt_silence {topic}"), payload)
    }
}

fn payload(filter: &Filter, topic: &str, last: Option<Zoned>, since: i64, is_connected: bool) -> Map {
    map_of([
        ("topic".into(), topic.into()),
        ("last".into(), last.into()),
        ("since".into(), since.into()),
        ("params".into(), params(std::slice::from_ref(filter), topic).into()),
        ("connected".into(), is_connected.into()),
    ])
}

/// Topics that have received a message and have not been silent long enough.
#[derive(Default)]
struct Topics {
    deadlines: HashMap<String, (Option<Timestamp>, Timestamp)>,
    order: BTreeSet<(Timestamp, String)>,
}

impl Topics {
    /// Expects the next message of a topic until `due`.
    fn expect(&mut self, topic: &str, last: Option<Timestamp>, due: Timestamp) {
        self.forget(topic);
        if self.deadlines.len() < MAX_TOPICS {
            self.deadlines.insert(topic.to_owned(), (last, due));
            self.order.insert((due, topic.to_owned()));
        }
    }

    fn forget(&mut self, topic: &str) {
        if let Some((_, due)) = self.deadlines.remove(topic) {
            self.order.remove(&(due, topic.to_owned()));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes the topic with the oldest message, if its time is up.
    fn take_due(&mut self, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
        if self.next()? > now {
            return None;
        }
        let (_, topic) = self.order.pop_first()?;
        let (last, _) = self.deadlines.remove(&topic)?;
        Some((topic, last))
    }
}

#[cfg(test)]
mod tests;
