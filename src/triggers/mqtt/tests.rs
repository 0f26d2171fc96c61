//! Tests from the broker to the inbox.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::listener::MIN_TRACKED;
use super::*;
use crate::config::Config;
use crate::event::{Ack, Delivery, ReceivedMessage};
use crate::run::{Outcome, Skip};
use crate::services::clock::Clock;
use crate::services::mqtt::{ConnectionSettings, Embedded, Publish};
use crate::services::store::Store;
use crate::triggers::{self, TriggerEvent, TriggerId};

const PATIENCE: Duration = Duration::from_secs(30);

/// Broker, connected services, and the receiving end of the inbox.
struct World {
    _data: tempfile::TempDir,
    broker: Embedded,
    services: Services,
    inbox: mpsc::Receiver<TriggerEvent>,
    sender: EventSender,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default_in(data.path()).mqtt;
        config.embedded.listen.set_port(0);
        let broker = Embedded::start(&config, data.path()).await.unwrap();
        let settings = ConnectionSettings::new(&config, broker.address(), "test".into()).unwrap();
        let services = Services::builder(Clock::system(TimeZone::UTC), Store::in_memory().unwrap())
            .brokers(vec![settings])
            .build();
        let (tx, inbox) = mpsc::channel(16);
        let sender = EventSender::new(TriggerId(1), "script".into(), Arc::new(tx), services.clock.clone());
        Self { _data: data, broker, services, inbox, sender }
    }

    /// Starts a trigger and waits until the broker has its subscription.
    async fn watch(&self, topic: &str, options: &[(&str, Value)]) -> Watch {
        let watch = trigger(topic.into(), options).unwrap().trigger.watch(self.sender.clone(), &self.services);
        // The SUBACK of this subscription follows the trigger's.
        let mut marker =
            self.services.mqtt.subscribe(&Filter::parse(topic).unwrap(), 2, Retained::Initial, None).unwrap();
        timeout(PATIENCE, marker.ready()).await.unwrap().unwrap();
        watch
    }

    async fn publish(&self, topic: &str, payload: &[u8], qos: u8) {
        let publish = Publish { topic: topic.into(), payload: payload.to_vec().into(), qos, ..Publish::default() };
        timeout(PATIENCE, self.services.mqtt.publish(publish)).await.unwrap().unwrap();
    }

    async fn next(&mut self) -> TriggerEvent {
        loop {
            let trigger_event = timeout(PATIENCE, self.inbox.recv()).await.unwrap().unwrap();
            if trigger_event.skip.is_none() {
                return trigger_event;
            }
        }
    }
}

fn trigger(topic: Value, options: &[(&str, Value)]) -> Result<triggers::TriggerSpec, OptionFault> {
    let trigger_context = TriggerContext {
        zone: TimeZone::UTC,
        location: None,
        brokers: std::sync::Arc::default(),
        base: Path::new("/").into(),
    };
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    triggers::read(&KIND, vec![topic], options, &trigger_context)
}

#[tokio::test]
async fn a_message_becomes_an_event_with_all_fields() {
    let mut world = World::new().await;
    let _watch = world.watch("door/{name}/#", &[]).await;
    world.publish("door/front/state", &[b'o', 0xff], 0).await;
    let TriggerEvent { event, reply, .. } = world.next().await;
    assert_eq!(event.summary(), "mqtt_subscribe door/front/state");
    assert_eq!(event.fact("topic"), Some(&"door/front/state".into()));
    assert_eq!(event.fact("payload"), Some(&"o\u{fffd}".into()));
    assert_eq!(event.fact("bytes"), Some(&vec![b'o', 0xff].into()));
    assert_eq!(event.fact("params.name"), Some(&"front".into()));
    assert_eq!(event.fact("qos"), Some(&0.into()));
    assert_eq!(event.fact("retain"), Some(&false.into()));
    assert_eq!(event.fact("broker"), Some(&"default".into()));
    assert_eq!(event.fact("time"), Some(&event.at.to_zoned(TimeZone::UTC).into()));
    assert!(reply.is_none(), "a message that needs no acknowledgement has no reply channel");
}

#[tokio::test]
async fn a_message_of_qos_1_is_confirmed_when_its_run_has_ended() {
    let mut world = World::new().await;
    let watch = world.watch("t", &[("qos", Value::Int(1))]).await;
    world.publish("t", b"failed", 1).await;
    world.publish("t", b"stopped", 1).await;
    let (failed, stopped) = (world.next().await, world.next().await);
    for (event, outcome) in [(failed, Outcome::Cancelled), (stopped, Outcome::Skipped(Skip::Stopping))] {
        let Delivery { ack: Some(ack), .. } = &event.event.delivery else { panic!("it needs an acknowledgement") };
        assert!(matches!(ack, Ack::Sender(_)));
        if let Some(settlement) = event.event.delivery.settlement(&outcome, true) {
            world.services.settle(ack, settlement);
        }
    }
    watch.stop().await;
    world.services.mqtt.close().await;
    // The broker resends unacknowledged messages to the resumed session.
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::default_in(data.path()).mqtt;
    config.embedded.listen = world.broker.address();
    let settings = ConnectionSettings::new(&config, world.broker.address(), "test".into()).unwrap();
    world.services =
        Services::builder(Clock::system(TimeZone::UTC), Store::in_memory().unwrap()).brokers(vec![settings]).build();
    let _watch = world.watch("t", &[("qos", Value::Int(1))]).await;
    assert_eq!(world.next().await.event.fact("payload"), Some(&"stopped".into()));
    assert!(world.inbox.try_recv().is_err());
}

#[tokio::test]
async fn changed_skips_messages_with_an_equal_payload() {
    let mut world = World::new().await;
    let _watch = world.watch("c/+", &[("changed", Value::Bool(true))]).await;
    for (topic, payload) in [("c/1", "a"), ("c/2", "a"), ("c/1", "a"), ("c/1", "b"), ("c/1", "a"), ("c/2", "z")] {
        world.publish(topic, payload.as_bytes(), 1).await;
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let event = world.next().await.event;
        seen.push((event.fact("topic").cloned().unwrap(), event.fact("payload").cloned().unwrap()));
    }
    let expected = [("c/1", "a"), ("c/2", "a"), ("c/1", "b"), ("c/1", "a"), ("c/2", "z")];
    assert_eq!(seen, expected.map(|(topic, payload)| (topic.into(), payload.into())));
}

#[test]
fn wrong_options_are_rejected_with_a_correction() {
    let list = |topics: &[&str]| Value::List(topics.iter().map(|topic| (*topic).into()).collect());
    for (topic, options, words) in [
        ("a/#/b".into(), vec![], "write it last"),
        (Value::Int(1), vec![], "[\"door/front\", \"door/back\"]"),
        (list(&[]), vec![], "door/front"),
        (list(&["a/#", "a/b"]), vec![], "would arrive twice"),
        (list(&["a", "a"]), vec![], "would arrive twice"),
        ("a".into(), vec![("qos", Value::Int(3))], "from 0 to 2"),
        ("a".into(), vec![("retained", "yes".into())], "\"initial\""),
        ("$share/g/a".into(), vec![("retained", "only".into())], "remove it"),
        ("a".into(), vec![("retian", "only".into())], "did you mean `retained`?"),
    ] {
        let fault = trigger(topic, &options).err().unwrap();
        assert!(fault.message.contains(words), "{}", fault.message);
    }
    let two = trigger(list(&["a/{id}", "b"]), &[]).unwrap().trigger;
    assert_eq!(two.summary(), "mqtt_subscribe a/{id}, b");
    assert_eq!(two.needs(), [Need::Subscribe("a/{id}"), Need::Subscribe("b")]);
}

#[test]
fn the_payloads_that_changed_tracks_are_bounded() {
    let message = |topic: String| ReceivedMessage { topic, ..blank() };
    let mut changed = LastPayloads::default();
    for number in 0..5 * MIN_TRACKED {
        assert!(changed.is_changed(&message(number.to_string())));
    }
    assert!(changed.young.len() + changed.old.len() <= 2 * MIN_TRACKED);
    assert!(!changed.is_changed(&message((5 * MIN_TRACKED - 1).to_string())));
}

fn blank() -> ReceivedMessage {
    ReceivedMessage {
        topic: String::new(),
        payload: bytes::Bytes::new(),
        qos: 0,
        retain: false,
        dup: false,
        broker: "".into(),
        properties: Map::new(),
        received: jiff::Timestamp::UNIX_EPOCH,
    }
}
