//! Tests of the client against the embedded broker and a misbehaving one.

mod embedded;
mod faults;
mod in_process;
mod misbehaving_broker;
mod transports;

use std::net::SocketAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::timeout;

use crate::config;
use crate::services::clock::Clock;
use crate::services::mqtt::{ConnectionSettings, Embedded, Message, Mqtt, Protocol, Publish, Retained, Subscription};
use crate::topic::Filter;

/// Longer than anything here takes on the slowest machine.
const TIMEOUT: Duration = Duration::from_secs(30);

fn config() -> config::Mqtt {
    let mut config = config::Config::default_in(std::path::Path::new("/")).mqtt;
    config.embedded.listen.set_port(0);
    let broker = &mut config.brokers[0];
    (broker.max_packet, broker.outbox) = (1 << 20, 1_000);
    config
}

async fn embedded(data: &tempfile::TempDir) -> Embedded {
    Embedded::start(&config(), data.path()).await.unwrap()
}

fn settings(address: SocketAddr, id: &str) -> ConnectionSettings {
    ConnectionSettings::new(&config(), address, id.into()).unwrap()
}

fn client(address: SocketAddr, id: &str) -> Mqtt {
    connect(settings(address, id))
}

/// Returns a client that uses MQTT 3.1.1.
fn client_3_1_1(address: SocketAddr, id: &str) -> Mqtt {
    connect(ConnectionSettings { protocol: Protocol::V4, ..settings(address, id) })
}

fn connect(settings: ConnectionSettings) -> Mqtt {
    Mqtt::new(vec![settings], &Clock::system(TimeZone::UTC))
}

/// Subscribes and waits for SUBACK.
async fn subscribe(mqtt: &Mqtt, filter: &str, qos: u8, retained: Retained) -> Subscription {
    let mut subscription = mqtt.subscribe(&Filter::parse(filter).unwrap(), qos, retained, None).unwrap();
    soon(subscription.ready()).await.unwrap();
    subscription
}

async fn publish(mqtt: &Mqtt, topic: &str, payload: &str, qos: u8, retain: bool) {
    let publish =
        Publish { topic: topic.into(), payload: payload.to_owned().into(), qos, retain, ..Publish::default() };
    soon(mqtt.publish(publish)).await.unwrap();
}

async fn next(subscription: &mut Subscription) -> Message {
    soon(subscription.messages.recv()).await.unwrap()
}

/// Returns the next payload as text.
async fn text(subscription: &mut Subscription) -> String {
    String::from_utf8_lossy(&next(subscription).await.payload).into_owned()
}

/// Waits for a future, within [`TIMEOUT`].
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(TIMEOUT, future).await.expect("it takes too long")
}
