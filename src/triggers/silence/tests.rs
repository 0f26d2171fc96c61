//! Tests with a manual clock.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::config::Config;
use crate::services::clock::Clock;
use crate::services::mqtt::{ConnectionSettings, Embedded, Publish, Retained};
use crate::services::store::Store;
use crate::triggers::{self, TriggerEvent, TriggerId};

const PATIENCE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

struct World {
    _data: tempfile::TempDir,
    _broker: Embedded,
    services: Services,
    inbox: mpsc::Receiver<TriggerEvent>,
    _watch: Watch,
}

impl World {
    async fn new(topic: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default_in(data.path()).mqtt;
        config.embedded.listen.set_port(0);
        let broker = Embedded::start(&config, data.path()).await.unwrap();
        let settings = ConnectionSettings::new(&config, broker.address(), "test".into()).unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z[UTC]".parse().unwrap());
        let services = Services::builder(clock, Store::in_memory().unwrap()).brokers(vec![settings]).build();
        let (tx, inbox) = mpsc::channel(16);
        let sender = EventSender::new(TriggerId(1), "script".into(), Arc::new(tx), services.clock.clone());
        let trigger_context = TriggerContext {
            zone: TimeZone::UTC,
            location: None,
            brokers: std::sync::Arc::default(),
            base: Path::new("/").into(),
        };
        let written = triggers::read(&KIND, vec![topic.into(), "10m".into()], Map::new(), &trigger_context).unwrap();
        let watch = written.trigger.watch(sender, &services);
        Self { _data: data, _broker: broker, services, inbox, _watch: watch }
    }

    /// Publishes a message, and waits until the trigger has processed it.
    async fn publish(&self, topic: &str) {
        let filter = Filter::parse(topic).unwrap();
        let mut marker = self.services.mqtt.subscribe(&filter, 0, Retained::Live, None).unwrap();
        timeout(PATIENCE, marker.ready()).await.unwrap().unwrap();
        let publish = Publish { topic: topic.into(), qos: 1, ..Publish::default() };
        timeout(PATIENCE, self.services.mqtt.publish(publish)).await.unwrap().unwrap();
        timeout(PATIENCE, marker.messages.recv()).await.unwrap().unwrap();
        // The trigger's copy was queued before the marker's; this lets its task run.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Advances the clock and returns the events: topic, whether there was a message before, and seconds of silence.
    async fn pass(&mut self, minutes: u32) -> Vec<(String, bool, i64)> {
        let clock = self.services.clock.clone();
        let (advanced, mut all) =
            (tokio::spawn(async move { clock.advance_async(MINUTE * minutes).await }), Vec::new());
        tokio::pin!(advanced);
        loop {
            tokio::select! {
                biased;
                Some(trigger_event) = self.inbox.recv() => {
                    let fact = |name: &str| trigger_event.event.fact(name).cloned().unwrap();
                    let Value::Int(since) = fact("since") else { panic!("no seconds") };
                    all.push((fact("topic").as_text().unwrap().to_owned(), fact("last") != Value::Null, since));
                }
                done = &mut advanced => {
                    done.unwrap();
                    return all;
                }
            }
        }
    }
}

#[tokio::test]
async fn silence_fires_once_and_again_after_a_message() {
    let mut world = World::new("attic").await;
    assert_eq!(world.pass(9).await, []);
    assert_eq!(world.pass(60).await, [("attic".into(), false, 600)]);
    world.publish("attic").await;
    assert_eq!(world.pass(9).await, []);
    world.publish("attic").await;
    assert_eq!(world.pass(9).await, []);
    assert_eq!(world.pass(60).await, [("attic".into(), true, 600)]);
}

#[tokio::test]
async fn each_topic_of_a_filter_has_its_own_deadline() {
    let mut world = World::new("room/{name}").await;
    world.publish("room/a").await;
    assert_eq!(world.pass(5).await, []);
    world.publish("room/b").await;
    assert_eq!(world.pass(6).await, [("room/a".into(), true, 600)]);
    world.publish("room/a").await;
    assert_eq!(world.pass(60).await, [("room/b".into(), true, 600), ("room/a".into(), true, 600)]);
}

#[tokio::test]
async fn a_filter_without_messages_fires_once_for_the_filter() {
    let mut world = World::new("room/+").await;
    assert_eq!(world.pass(60).await, [("room/+".into(), false, 600)]);
}
