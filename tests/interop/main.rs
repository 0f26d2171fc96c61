//! MQTT against mosquitto, its clients and paho-mqtt, HTTP against httpbin, nginx and Python's `requests`: `.ci/run` installs what they need.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod absence;
mod broker;
mod client;
mod editors;
mod faults;
mod http;
mod mosquitto;
mod paho;
mod parity;
#[expect(dead_code, reason = "what only the other tests use")]
#[path = "../process.rs"]
mod process;
mod proxy;
#[path = "../seed.rs"]
mod seed;
mod ways;

use std::net::SocketAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use rhaid::config::Config;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt::{
    ConnectionSettings, Message, Mqtt, Properties, Protocol, Publish, Retained, SubscribeOptions, Subscription,
};
use rhaid::topic::Filter;
use tokio::time::timeout;

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both versions of MQTT, with a name for each.
const BOTH: [(Protocol, &str); 2] = [(Protocol::V4, "old"), (Protocol::V5, "new")];

fn settings(address: SocketAddr, id: &str, protocol: Protocol) -> ConnectionSettings {
    let config = Config::default_in(std::path::Path::new("/nowhere")).mqtt;
    ConnectionSettings { protocol, ..ConnectionSettings::new(&config, address, id.into()).unwrap() }
}

fn client(address: SocketAddr, id: &str, protocol: Protocol) -> Mqtt {
    connect(settings(address, id, protocol))
}

fn connect(settings: ConnectionSettings) -> Mqtt {
    Mqtt::new(vec![settings], &Clock::system(TimeZone::UTC))
}

/// Subscribes, and waits until the broker has confirmed it.
async fn subscribe(mqtt: &Mqtt, filter: &str, qos: u8, retained: Retained) -> Subscription {
    let mut subscription = mqtt.subscribe(&Filter::parse(filter).unwrap(), qos, retained, None).unwrap();
    soon(subscription.ready()).await.unwrap();
    subscription
}

async fn publish(mqtt: &Mqtt, topic: &str, payload: &str, qos: u8, retain: bool) {
    soon(mqtt.publish(message(topic, payload, qos, retain))).await.unwrap();
}

fn message(topic: &str, payload: &str, qos: u8, retain: bool) -> Publish {
    Publish { topic: topic.into(), payload: payload.to_owned().into(), qos, retain, ..Publish::default() }
}

async fn next(subscription: &mut Subscription) -> Message {
    soon(subscription.messages.recv()).await.unwrap()
}

async fn text(subscription: &mut Subscription) -> String {
    String::from_utf8_lossy(&next(subscription).await.payload).into_owned()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}
