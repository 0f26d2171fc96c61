//! The client session against a broker in this process, on a virtual clock: no thread, no task, no network.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::settings;
use crate::config::Will;
use crate::services::clock::Clock;
use crate::services::mqtt::ack_queue::AckQueue;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::embedded::InProcessBroker;
use crate::services::mqtt::in_process_link::InProcessLink;
use crate::services::mqtt::message::{Properties, Publish, SubscribeOptions};
use crate::services::mqtt::settings::{ConnectionSettings, Protocol};
use crate::services::mqtt::{Messages, Retained};
use crate::topic::Filter;
use crate::value::Value;

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

struct Network {
    clock: Clock,
    broker: InProcessBroker,
}

struct Client {
    settings: ConnectionSettings,
    session: Mutex<ClientSession>,
    link: InProcessLink,
    clock: Clock,
}

impl Network {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC));
        Self { broker: InProcessBroker::new(&clock), clock }
    }

    /// Connects a client with a session that expires after an hour.
    fn client(&self, id: &str, change: impl FnOnce(&mut ConnectionSettings)) -> Client {
        let mut settings = settings("127.0.0.1:1883".parse().unwrap(), id);
        (settings.session.clean_start, settings.session.expiry) = (false, HOUR);
        change(&mut settings);
        let mut client = Client {
            session: Mutex::new(ClientSession::new(&settings, Arc::new(AckQueue::default()))),
            settings,
            link: self.link(),
            clock: self.clock.clone(),
        };
        self.reconnect(&mut client);
        client
    }

    fn link(&self) -> InProcessLink {
        InProcessLink::new(self.broker.clone(), |_| ())
    }

    /// Closes the connection of a client without DISCONNECT.
    fn lose(&self, client: &mut Client) {
        client.link = self.link();
        client.session.lock().outbox.disconnected();
    }

    fn reconnect(&self, client: &mut Client) {
        client.link.connect(&client.settings, &client.session).unwrap();
        client.exchange();
    }
}

impl Client {
    fn exchange(&self) {
        self.link.exchange(&self.session, &self.clock).unwrap();
    }

    fn subscribe(&self, filter: &str, options: SubscribeOptions) -> Messages {
        let (_, messages, ready) = self.session.lock().registry.add(&[Filter::parse(filter).unwrap()], options);
        self.exchange();
        assert_eq!(*ready.borrow(), Some(Ok(())));
        messages
    }

    fn publish(&self, publish: Publish) {
        self.session.lock().outbox.push(publish, None, None);
        self.exchange();
        assert!(self.session.lock().outbox.is_empty(), "the broker acknowledges at once");
    }

    /// Returns the payloads that have arrived.
    fn received(&self, messages: &mut Messages) -> Vec<String> {
        self.exchange();
        let all = std::iter::from_fn(|| messages.try_recv());
        all.map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }
}

const QOS_1: SubscribeOptions =
    SubscribeOptions { qos: 1, retained: Retained::Live, no_local: false, all_retained: false };

fn message(topic: &str, payload: &str, qos: u8) -> Publish {
    Publish { topic: topic.into(), payload: payload.to_owned().into(), qos, ..Publish::default() }
}

/// Returns a message that expires after this time.
fn expiring(publish: Publish, after: Duration) -> Publish {
    let message_expiry = Some(after.as_secs() as u32);
    Publish { properties: Some(Box::new(Properties { message_expiry, ..Properties::default() })), ..publish }
}

fn will(payload: &str, delay: Duration) -> Will {
    Will {
        topic: "gone".into(),
        payload: payload.into(),
        qos: 1,
        retain: false,
        delay,
        message_expiry: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    }
}

#[test]
fn a_delayed_will_and_the_end_of_a_session_follow_the_clock() {
    let network = Network::new();
    let other = network.client("other", |_| ());
    let mut wills = other.subscribe("gone", QOS_1);
    let mut client = network.client("client", |settings| settings.will = Some(will("client", 60 * SECOND)));
    let mut commands = client.subscribe("command", QOS_1);
    network.lose(&mut client);
    network.clock.advance(59 * SECOND);
    other.publish(message("command", "1", 1));
    assert_eq!(other.received(&mut wills), [""; 0], "the will is delayed");
    network.clock.advance(SECOND);
    assert_eq!(other.received(&mut wills), ["client"]);
    network.clock.advance(HOUR - 61 * SECOND);
    network.reconnect(&mut client);
    assert_eq!(client.received(&mut commands), ["1"], "the session still exists");
    network.lose(&mut client);
    other.publish(message("command", "2", 1));
    network.clock.advance(HOUR);
    network.reconnect(&mut client);
    assert_eq!(client.received(&mut commands), [""; 0], "the session has expired");
    other.publish(message("command", "3", 1));
    assert_eq!(client.received(&mut commands), ["3"], "the client has subscribed again");
}

#[test]
fn a_client_that_disconnects_leaves_no_will() {
    let network = Network::new();
    let other = network.client("other", |_| ());
    let mut wills = other.subscribe("gone", QOS_1);
    let with_will = |settings: &mut ConnectionSettings| {
        settings.will = Some(will(&settings.client_id, Duration::ZERO));
    };
    network.client("disconnects", with_will).link.disconnect();
    network.client("broker stops", with_will).link.end_session();
    drop(network.client("is lost", with_will));
    assert_eq!(other.received(&mut wills), ["is lost"]);
}

#[test]
fn queued_messages_expire_by_the_clock() {
    let network = Network::new();
    let other = network.client("other", |_| ());
    let mut client = network.client("client", |_| ());
    let mut messages = client.subscribe("a", QOS_1);
    network.lose(&mut client);
    other.publish(expiring(message("a", "short", 1), 60 * SECOND));
    other.publish(expiring(message("a", "long", 1), 61 * SECOND));
    network.clock.advance(60 * SECOND);
    network.reconnect(&mut client);
    let left = messages.try_recv().unwrap();
    assert_eq!((&left.payload[..], &left.properties["message_expiry"]), (&b"long"[..], &Value::from(1_i64)));
    assert!(messages.try_recv().is_none());
}

#[test]
fn each_message_of_a_shared_subscription_goes_to_one_member_in_turn() {
    let network = Network::new();
    let (first, second) = (network.client("first", |_| ()), network.client("second", |_| ()));
    let mut of_first = first.subscribe("$share/group/job", QOS_1);
    let mut of_second = second.subscribe("$share/group/job", QOS_1);
    let mut of_all = first.subscribe("job", QOS_1);
    for number in ["1", "2", "3", "4"] {
        first.publish(message("job", number, 1));
    }
    let (first_jobs, second_jobs) = (first.received(&mut of_first), second.received(&mut of_second));
    assert_eq!((first_jobs.len(), second_jobs.len()), (2, 2), "{first_jobs:?} {second_jobs:?}");
    assert!(first_jobs.iter().all(|job| !second_jobs.contains(job)), "{first_jobs:?} {second_jobs:?}");
    assert_eq!(first.received(&mut of_all), ["1", "2", "3", "4"], "beside the shared subscription");
}

#[test]
fn no_local_leaves_out_the_messages_of_the_client_itself() {
    let network = Network::new();
    let (client, other) = (network.client("client", |_| ()), network.client("other", |_| ()));
    let mut foreign = client.subscribe("a/+", SubscribeOptions { no_local: true, ..QOS_1 });
    let mut all = client.subscribe("a/#", QOS_1);
    client.publish(message("a/b", "own", 0));
    other.publish(message("a/b", "other", 0));
    network.broker.publish(message("a/b", "from outside", 0)).unwrap();
    assert_eq!(client.received(&mut all), ["own", "other", "from outside"]);
    assert_eq!(client.received(&mut foreign), ["other", "from outside"]);
}

#[test]
fn all_qualities_of_service_and_both_versions_work() {
    let network = Network::new();
    for protocol in [Protocol::V4, Protocol::V5] {
        let client = network.client("client", |settings| settings.protocol = protocol);
        let mut messages = client.subscribe("温度/+", SubscribeOptions { qos: 2, ..QOS_1 });
        for qos in 0..=2 {
            // More than one step of either side.
            for number in 0..200 {
                client.publish(message("温度/1", &number.to_string(), qos));
            }
            let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
            assert_eq!(client.received(&mut messages), expected, "QoS {qos}, {protocol:?}");
        }
    }
}
