//! Interoperability: MQTT with mosquitto, its clients and paho-mqtt; HTTP with httpbin, nginx and Python's `requests`. `.ci/run` installs them.

#![expect(clippy::print_stdout, reason = "fault tests print how many messages they sent and lost")]
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod absence;
mod broker;
mod client;
mod editors;
mod faults;
mod http;
mod mosquitto;
mod paho;
mod parity;
#[expect(dead_code, reason = "some items are used only by the other test binary")]
#[path = "../process.rs"]
mod process;
#[path = "../seed.rs"]
mod seed;
mod tcp_proxy;
mod transports;

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

/// Limit for every operation, generous for slow machines.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Both versions of MQTT, each with a client id.
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

/// Subscribes, and waits for the SUBACK.
async fn subscribe(mqtt: &Mqtt, filter: &str, qos: u8, retained: Retained) -> Subscription {
    let mut subscription = mqtt.subscribe(&Filter::parse(filter).unwrap(), qos, retained, None).unwrap();
    within_timeout(subscription.ready()).await.unwrap();
    subscription
}

async fn publish(mqtt: &Mqtt, topic: &str, payload: &str, qos: u8, retain: bool) {
    within_timeout(mqtt.publish(message(topic, payload, qos, retain))).await.unwrap();
}

fn message(topic: &str, payload: &str, qos: u8, retain: bool) -> Publish {
    Publish { topic: topic.into(), payload: payload.to_owned().into(), qos, retain, ..Publish::default() }
}

async fn next(subscription: &mut Subscription) -> Message {
    within_timeout(subscription.messages.recv()).await.unwrap()
}

async fn text(subscription: &mut Subscription) -> String {
    String::from_utf8_lossy(&next(subscription).await.payload).into_owned()
}

async fn within_timeout<T>(future: impl Future<Output = T>) -> T {
    timeout(TIMEOUT, future).await.expect("the operation ends within the timeout")
}
